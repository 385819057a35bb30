"""Zero configuration: what each variable does, alone and beside a file."""

from __future__ import annotations

import pytest

from agent.config import InvalidConfigError, from_environment, read
from agent.config.environment import tree_of
from agent.config.tree import Place


def faults(env: dict[str, str]) -> list[str]:
    """What is wrong with an environment."""
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
    """A pair without a key or an equals sign is a fault that names the variable."""
    assert [line.partition(" (fix")[0] for line in faults({"OTEL_RESOURCE_ATTRIBUTES": "a=1,b,=c"})] == [
        "OTEL_RESOURCE_ATTRIBUTES: '=c' is no key=value pair",
        "OTEL_RESOURCE_ATTRIBUTES: 'b' is no key=value pair",
    ]


def test_metric_interval():
    """The standard interval is in milliseconds."""
    assert from_environment({"OTEL_METRIC_EXPORT_INTERVAL": "60000"}).metrics.interval == 60.0
    assert faults({"OTEL_METRIC_EXPORT_INTERVAL": "1m"}) == [
        "OTEL_METRIC_EXPORT_INTERVAL: '1m' is not a number of milliseconds (fix: write a whole number)"
    ]


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
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "soon",
            "OUTRIDER_PROBES": "gopher://x",
        }
    )
    assert [line.partition(" (fix")[0] for line in found] == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: exporters[0].endpoint: is not an http(s) URL",
        "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT: 'soon' is not a whole number",
        "OUTRIDER_LISTEN: server.listen: is not an address",
        "OUTRIDER_PROBES: probes[0].url: no probe looks at 'gopher'",
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
    """A variable that looks like ours and is read by nobody is told, with the nearest one."""
    (warning,) = read(None, {"OUTRIDER_LOGFILES": "x"}).warnings
    assert str(warning) == "OUTRIDER_LOGFILES: is no variable of this program (fix: did you mean 'OUTRIDER_LOG_FILES'?)"


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


def test_an_open_address_needs_a_file():
    """Listening for others needs `insecure: true` written down, which no variable does."""
    (line,) = faults({"OUTRIDER_LISTEN": "0.0.0.0:9464"})
    assert line.startswith("OUTRIDER_LISTEN: server.listen: 0.0.0.0:9464 can be reached from outside")
