"""Zero configuration: what each variable does, alone and beside a file."""

from __future__ import annotations

import pytest

from agent.config import InvalidConfigError, from_environment, read
from agent.config.environment import tree_of
from agent.config.tree import Place


def faults(env: dict[str, str]) -> list[str]:
    """The faults of an environment."""
    with pytest.raises(InvalidConfigError) as caught:
        from_environment(env)
    return str(caught.value).split("\n")


def test_nothing_set():
    """Without any variable the agent has its defaults: a loopback page, a local state directory, and no destination."""
    settings = from_environment({})
    assert (str(settings.state_dir), settings.server.listen, settings.exporters, settings.sources) == (
        ".outrider",
        "127.0.0.1:9464",
        (),
        (),
    )
    assert settings.service.resource() == {"service.name": "unknown_service"}


def test_plain_values():
    """State directory and address are taken as they are."""
    settings = from_environment({"OUTRIDER_STATE_DIR": "/var/lib/outrider", "OUTRIDER_LISTEN": "[::1]:0"})
    assert (str(settings.state_dir), settings.server.listen) == ("/var/lib/outrider", "[::1]:0")


def test_an_empty_variable_is_not_set():
    """An empty or blank variable means the default, as in the OpenTelemetry specification."""
    settings = from_environment({"OUTRIDER_LISTEN": "", "OUTRIDER_LOG_FILES": " ", "SENTRY_DSN": "", "OUTRIDER_TESTRUN_DIR": ""})
    assert settings == from_environment({})


def test_resource():
    """Resource attributes are percent-decoded; OTEL_SERVICE_NAME wins over the attribute service.name."""
    env = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=pre%20prod, team = x%2Cy%3Dz ,"}
    attributes = {"deployment.environment.name": "pre prod", "team": "x,y=z"}
    assert from_environment(env).service.resource() == {"service.name": "a", **attributes}
    assert from_environment({**env, "OTEL_SERVICE_NAME": "b"}).service.resource() == {"service.name": "b", **attributes}


def test_bad_resource():
    """A pair without a key or an equals sign is warned about and left out: the agent starts."""
    settings, warnings = read(None, {"OTEL_RESOURCE_ATTRIBUTES": "a=1,b,=c,service.name=shop"})
    assert settings.service.resource() == {"service.name": "shop", "a": "1"}
    assert [str(warning).partition(" (fix")[0] for warning in warnings] == [
        "OTEL_RESOURCE_ATTRIBUTES: '=c' is not a key=value pair: it is left out",
        "OTEL_RESOURCE_ATTRIBUTES: 'b' is not a key=value pair: it is left out",
    ]


def test_metric_interval():
    """The standard interval is in milliseconds."""
    assert from_environment({"OTEL_METRIC_EXPORT_INTERVAL": "60000"}).metrics.interval == 60.0
    for wrong in ("1m", "0", "9" * 12, "9" * 5000):
        settings, (warning,) = read(None, {"OTEL_METRIC_EXPORT_INTERVAL": wrong})
        assert (settings.metrics.interval, warning.fix) == (15.0, "write a whole number")
        assert "is not a number of milliseconds: the default is taken" in warning.message


def test_temporality_preference():
    """The standard preference is taken in any case of letters; another word is warned about."""
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    assert [from_environment({name: word}).metrics.temporality for word in ("Delta", "lowmemory", "")] == [
        "delta",
        "lowmemory",
        "cumulative",
    ]
    settings, (warning,) = read(None, {name: "rate"})
    assert settings.metrics.temporality == "cumulative"
    assert "'rate' is not a temporality" in warning.message


def test_inputs():
    """Log files, target and probes become entries of their kinds, and each entry's place is its variable."""
    tree = tree_of({"OUTRIDER_LOG_FILES": "/a/*.log, b.log,", "OUTRIDER_TARGET": "pid:1", "OUTRIDER_PROBES": "http://a,tcp://b:1"})
    assert tree.data == {
        "sources": [{"type": "log_files", "include": ["/a/*.log", "b.log"]}],
        "samplers": [{"type": "process_tree", "target": "pid:1"}],
        "probes": [{"url": "http://a"}, {"url": "tcp://b:1"}],
    }
    assert tree.value_place(("sources", 0, "include", 1)) == Place("OUTRIDER_LOG_FILES")
    assert tree.value_place(("probes", 1, "url")) == Place("OUTRIDER_PROBES")


def test_sentry():
    """The three Sentry variables make one exporter; each option's place is its own variable."""
    tree = tree_of({"SENTRY_DSN": "https://k@h/1", "SENTRY_RELEASE": "1.0", "SENTRY_ENVIRONMENT": "prod"})
    assert tree.data["exporters"] == [{"type": "sentry", "dsn": "https://k@h/1", "environment": "prod", "release": "1.0"}]
    assert tree.value_place(("exporters", 0, "release")) == Place("SENTRY_RELEASE")
    assert tree_of({"SENTRY_RELEASE": "1.0"}).data == {}


def test_otlp():
    """The standard OTLP variables make one exporter."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b",
        "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "2500",
    }
    (entry,) = from_environment(env).exporters
    dumped = entry.options.model_dump()
    assert (entry.type, entry.name, dumped["endpoint"], dumped["logs"]["timeout"]) == ("otlp_http", "otlp_http", "http://c:4318", 2.5)
    assert dumped["headers"]["api-key"].get_secret_value() == "a b"


def test_faults_name_the_variable():
    """Every fault of every variable is listed at once, with the variable as its place."""
    found = faults(
        {
            "OUTRIDER_LISTEN": "9464",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318",
            "OUTRIDER_PROBES": "gopher://x",
        }
    )
    assert [line.partition(" (fix")[0] for line in found] == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: exporters[0].endpoint: is not an http(s) URL",
        "OUTRIDER_LISTEN: server.listen: is not an address",
        "OUTRIDER_PROBES: probes[0].url: no probe knows the scheme 'gopher'",
    ]


@pytest.mark.parametrize("variable", ["OUTRIDER_REDIS_STREAMS", "OUTRIDER_TESTRUN_DIR"])
def test_not_available_yet(variable):
    """A variable of the product that this version can't serve is refused instead of ignored."""
    assert faults({variable: "x"}) == [f"{variable}: is not available in this version (fix: unset it, or upgrade when it is)"]


@pytest.mark.parametrize("url", ["redis://h", "grpc://h", "file:///tmp/beat"])
def test_probe_not_available_yet(url):
    """A probe URL that this version can't look at is refused instead of ignored."""
    (line,) = faults({"OUTRIDER_PROBES": url})
    assert line.startswith("OUTRIDER_PROBES: probes[0].url: ")
    assert "is not available in this version" in line


def test_misspelt_variable_warns():
    """A variable that looks like ours but is not read gets a warning, with the most similar one."""
    (warning,) = read(None, {"OUTRIDER_LOGFILES": "x"}).warnings
    assert str(warning) == "OUTRIDER_LOGFILES: is not a variable of this program (fix: did you mean 'OUTRIDER_LOG_FILES'?)"


def test_the_environment_fills_what_the_file_leaves_out(tmp_path):
    """Beside a file, the environment gives options and lists that the file lacks; whatever the file sets stays, and the variable is warned about."""
    file = tmp_path / "f.yaml"
    file.write_text("service: {attributes: {team: a}}\nserver: {listen: 'localhost:1'}\nexporters: []\n")
    env = {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "team=b,zone=z",
        "OUTRIDER_LISTEN": "localhost:2",
        "OUTRIDER_STATE_DIR": "/s",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
    }
    settings, warnings = read(file, env)
    assert settings.service.resource() == {"service.name": "shop", "team": "a", "zone": "z"}
    assert (settings.server.listen, str(settings.state_dir), settings.exporters) == ("localhost:1", "/s", ())
    assert [str(warning).partition(" (fix")[0] for warning in warnings] == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: is ignored, because the file sets exporters",
        "OTEL_RESOURCE_ATTRIBUTES: is ignored, because the file sets service.attributes.team",
        "OUTRIDER_LISTEN: is ignored, because the file sets server.listen",
    ]


def test_an_open_address():
    """Listening for others needs a guard or a word that none is wanted; the fault names the variables for both, and an open page is warned about."""
    open_to_all = {"OUTRIDER_LISTEN": "0.0.0.0:9464"}
    (line,) = faults(open_to_all)
    assert line.startswith("OUTRIDER_LISTEN: server.listen: 0.0.0.0:9464 can be reached by other machines")
    assert all(name in line for name in ("OUTRIDER_INSECURE=true", "OUTRIDER_TOKEN_FILE", "OUTRIDER_WEB_CONFIG"))
    settings, warnings = read(None, {**open_to_all, "OUTRIDER_INSECURE": "True"})
    assert settings.server.insecure
    assert [str(warning).partition(" (fix")[0] for warning in warnings] == [
        "OUTRIDER_INSECURE: server.insecure: every client that reaches 0.0.0.0:9464 can read the pages, without TLS or authentication"
    ]
    assert read(None, {"OUTRIDER_INSECURE": "true"}).warnings == ()
    assert faults({"OUTRIDER_INSECURE": "yes please"}) == [
        "OUTRIDER_INSECURE: 'yes please' is neither true nor false (fix: write true or false)"
    ]


def test_a_token_for_the_pages(tmp_path):
    """A file with a token guards an open address; a token in the configuration file is not given twice by that."""
    token = tmp_path / "token"
    token.write_text("s3cr3t\n")
    env = {"OUTRIDER_LISTEN": "0.0.0.0:9464", "OUTRIDER_TOKEN_FILE": str(token)}
    settings, warnings = read(None, env)
    assert settings.server.bearer_token is not None
    assert (settings.server.bearer_token.get_secret_value(), warnings) == ("s3cr3t", ())
    (line,) = faults({**env, "OUTRIDER_TOKEN_FILE": f"{token}.no"})
    assert line.startswith(f"OUTRIDER_TOKEN_FILE: server.bearer_token_file: cannot read {token}.no")
    file = tmp_path / "f.yaml"
    file.write_text("server: {bearer_token: '${WORD}'}\n")
    settings, (warning,) = read(file, {**env, "WORD": "own"})
    assert settings.server.bearer_token is not None
    assert settings.server.bearer_token.get_secret_value() == "own"
    assert str(warning).startswith("OUTRIDER_TOKEN_FILE: is ignored")


def test_a_web_config_by_environment(tmp_path):
    """A `web.config` with a user guards an open address."""
    web = tmp_path / "web.yaml"
    web.write_text("basic_auth_users: {a: '$2b$04$abcdefghijklmnopqrstuuOjmRGsrB5v7v9xUqL1c0fRnqX0n3d6e'}\n")
    assert from_environment({"OUTRIDER_LISTEN": "0.0.0.0:1", "OUTRIDER_WEB_CONFIG": str(web)}).server.web_config == web


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OUTRIDER_SERVICE_HOST", "10.0.0.7"),
        ("OUTRIDER_SERVICE_PORT", "9464"),
        ("OUTRIDER_SERVICE_PORT_HTTP_METRICS", "9464"),
        ("OUTRIDER_PORT", "tcp://10.0.0.7:9464"),
        ("OUTRIDER_PORT_9464_TCP", "tcp://10.0.0.7:9464"),
        ("OUTRIDER_PORT_9464_TCP_ADDR", "10.0.0.7"),
        ("OUTRIDER_PORT_53_UDP_PROTO", "udp"),
        ("OUTRIDER_METRICS_SERVICE_HOST", "10.0.0.7"),
        ("OUTRIDER_METRICS_PORT", "tcp://10.0.0.7:9464"),
        ("OUTRIDER_METRICS_PORT_9464_TCP_PORT", "9464"),
    ],
)
def test_service_links_are_not_ours(name, value):
    """Variables that Kubernetes sets for a service named `outrider` or `outrider-metrics` are not typing errors."""
    assert read(None, {name: value}).warnings == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OUTRIDER_PORT", "OUTRIDER_LISTEN"),
        ("OUTRIDER_CONFIG", "-c"),
        ("OUTRIDER_STATEDIR", "OUTRIDER_STATE_DIR"),
        ("OUTRIDER_LISTEN_ADDR", "OUTRIDER_LISTEN"),
        ("OUTRIDER_PROBE", "OUTRIDER_PROBES"),
        ("OUTRIDER_TOKENFILE", "OUTRIDER_TOKEN_FILE"),
    ],
)
def test_typing_errors_are_found(name, meant):
    """A variable that looks like ours is warned about, and the one that was meant is named."""
    (warning,) = read(None, {name: "9464"}).warnings
    assert str(warning).startswith(f"{name}: is not a variable of this program (fix: ")
    assert meant in warning.fix


def test_standard_variables_do_not_keep_it_from_starting():
    """A value that a workload's SDK takes and the agent does not gets a warning, and the rest is applied."""
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_RESOURCE_ATTRIBUTES": "team",
        "OTEL_METRICS_EXPORTER": "none",
    }
    settings, warnings = read(None, env)
    assert settings.exporters[0].options.model_dump()["signals"] == ("logs",)
    assert [warning.place.source for warning in warnings] == ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_RESOURCE_ATTRIBUTES"]


def test_the_monitor_of_a_command():
    """Each command of a service has a monitor of its own, unless one is named; without check-ins there is none."""
    settings = from_environment({"OTEL_SERVICE_NAME": "shop"})
    assert settings.for_command(("true",)) is settings
    errors = settings.errors.model_copy(update={"check_ins": True})
    checking = settings.model_copy(update={"errors": errors})
    assert checking.for_command(("true",)).errors.monitor.startswith("shop-true-")
    assert checking.for_command(("true",)).errors.monitor != checking.for_command(("false",)).errors.monitor
    named = checking.model_copy(update={"errors": errors.model_copy(update={"monitor": "nightly"})})
    assert named.for_command(("true",)).errors.monitor == "nightly"


@pytest.mark.parametrize(
    ("given", "timeout"),
    [("{interval: 2s}", 2.0), ("{interval: 2s, timeout: 1s}", 1.0), ("{interval: 30s}", 5.0), ("{}", 5.0), ("{interval: 500ms}", 0.5)],
)
def test_a_timeout_that_is_not_written_fits_the_interval(tmp_path, given, timeout):
    """A short interval needs no timeout: the default is at most the interval, for the host and for the probe."""
    file = tmp_path / "f.yaml"
    file.write_text(f"probes: [{{url: 'http://h/', {given.strip('{}')}}}]\n".replace(", }", "}"))
    (probe,) = read(file, {}).settings.probes
    assert (probe.timeout, probe.options.model_dump()["timeout"]) == (timeout, timeout)


def test_a_choice_that_the_file_overrules(tmp_path):
    """Where the file says where to send, a variable by which nothing would be sent is warned about, and the OTLP variables are not judged."""
    file = tmp_path / "f.yaml"
    file.write_text("exporters: [{type: console}]\n")
    env = {
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_SDK_DISABLED": "True",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    assert [str(warning).partition(" (fix")[0] for warning in read(file, env).warnings] == [
        "OTEL_METRICS_EXPORTER: is ignored, because the file sets exporters",
        "OTEL_SDK_DISABLED: is ignored, because the file sets exporters",
    ]
