from __future__ import annotations

import zlib

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from pydantic import ValidationError

from agent.component import Accepted, Context
from agent.errors import PausedError, RejectedError, RetryableError, TooLargeError
from agent.exporters.otlp_answer import Answer, Outcome, Policy, judge, read_answer, read_failure, retry_after, scrub
from agent.exporters.otlp_environment import NO_LIMIT, Options, read
from agent.exporters.otlp_http import (
    REQUESTS,
    USER_AGENT,
    OtlpHttp,
    OtlpHttpConfig,
    endpoint_doubts,
    explained,
    make_route,
    settle,
    signal_url,
)
from agent.metrics import Metrics
from agent.net.http_client import ErrorKind, NetworkError, Response
from agent.net.message import ForeignError
from agent.net.progress import Phases
from agent.record import Row, Signal
from agent.testing.clock import FakeClock
from agent.testing.http_faults import answer
from agent.testing.otlp_server import OtlpServer, parse_plan, partial_success, read_store, repeats

PROTOBUF = ("content-type", "application/x-protobuf")
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


class Nobody:
    def emit(self, event: object) -> None:
        pass


def _row(signal: Signal = Signal.LOGS, records: int = 3) -> Row:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(records):
        scope.log_records.add().body.string_value = f"text {number}"
    body = request.SerializeToString()
    return Row(1, signal, "s", records, zlib.compress(body, wbits=31), len(body), 0)


def _exporter(**options) -> OtlpHttp:
    clock = FakeClock()
    return OtlpHttp(OtlpHttpConfig(**options), Context("there", clock, Metrics({}, clock), Nobody(), {}, None))


def _response(status: int = 200, body: bytes = b"", *headers: tuple[str, str]) -> Response:
    return Response(status, headers or (PROTOBUF,), body, Phases(), None, "", "1.1")


# --- the configuration --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h:4318", "http://h:4318/v1/logs"),
        ("http://h:4318/", "http://h:4318/v1/logs"),
        ("https://h/mycollector", "https://h/mycollector/v1/logs"),
        ("https://h/mycollector/", "https://h/mycollector/v1/logs"),
        ("https://h/a?key=1", "https://h/a/v1/logs?key=1"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/logs"),
        ("http://h:4318/v1/logs", "http://h:4318/v1/logs"),
        ("http://h:4318/v1/traces/", "http://h:4318/v1/logs"),
        ("https://h/otlp/v1/metrics?key=1", "https://h/otlp/v1/logs?key=1"),
        ("https://h/v1", "https://h/v1/v1/logs"),
        ("https://h/v1/logs/in", "https://h/v1/logs/in/v1/logs"),
    ],
)
def test_the_base_url_gets_the_signals_path(base, url):
    """`v1/<signal>` is appended relative to the base, with one slash between (protocol/exporter.md, "Endpoint URLs for OTLP/HTTP")."""
    assert signal_url(base, Signal.LOGS) == url


@pytest.mark.parametrize(
    ("options", "doubts"),
    [
        ({"endpoint": "http://h:4318"}, []),
        ({"endpoint": "http://h:4318/v1/logs"}, ["endpoint ends in /v1/logs, which is left out: each signal's path is appended"]),
        (
            {"endpoint": "http://h:4317", "signals": ["logs"]},
            ["logs go to http://h:4317, which looks like gRPC; OTLP/HTTP is usually 4318"],
        ),
        (
            {"logs": {"endpoint": "http://u:p@h:4318/"}, "signals": ["logs"]},
            ["logs.endpoint has no path and is used as it is: OTLP's is usually http://**********@h:4318/v1/logs"],
        ),
        ({"traces": {"endpoint": "http://h:4317"}, "endpoint": "http://h"}, []),
        (
            {"logs": {"endpoint": "http://h:4318/a/v1/traces/"}, "signals": ["logs"]},
            ["logs.endpoint ends in /v1/traces/, which is for traces: OTLP's is usually http://h:4318/a/v1/logs"],
        ),
        ({"logs": {"endpoint": "http://h:4318/v1/logs/"}, "signals": ["logs"]}, []),
    ],
)
def test_doubtful_endpoints(options, doubts):
    """Endpoints that work and are perhaps not meant are reported: a signal's path at the base URL, none at a signal's own, gRPC's port. No password is shown."""
    assert list(endpoint_doubts(OtlpHttpConfig.model_validate(options))) == doubts


def test_a_signals_own_url_is_used_as_it_is():
    """Nothing is appended to a per-signal endpoint, and the other signals keep the base."""
    config = OtlpHttpConfig(endpoint="http://h:4318", metrics={"endpoint": "https://m.test/v1/metrics/"})
    assert make_route(config, Signal.METRICS).url == "https://m.test/v1/metrics/"
    assert make_route(config, Signal.LOGS).url == "http://h:4318/v1/logs"


def test_a_signals_own_options_win():
    """Headers, timeout, compression and TLS of one signal replace the common ones; what it leaves out is common."""
    own = {"headers": {"b": "2222"}, "timeout": 3, "compression": "none"}
    config = OtlpHttpConfig(endpoint="http://h", headers={"a": "1111"}, timeout="5s", logs=own)
    logs, metrics = make_route(config, Signal.LOGS), make_route(config, Signal.METRICS)
    assert logs.headers == {"Content-Type": "application/x-protobuf", "b": "2222"}
    assert metrics.headers == {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", "a": "1111"}
    assert (logs.timeout, metrics.timeout, logs.packed, metrics.packed) == (3.0, 5.0, False, True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "no endpoint for logs, metrics"),
        ({"logs": {"endpoint": "http://h"}}, "no endpoint for metrics"),
        ({"endpoint": "h:4318"}, "is not an http"),
        ({"endpoint": "http://h/\x01"}, "percent-encoded"),
        ({"endpoint": "http://h", "signals": []}, "at least 1"),
        ({"endpoint": "http://h", "signals": ["profiles"]}, "signals"),
        ({"endpoint": "http://h", "compression": "zstd"}, "compression"),
        ({"endpoint": "http://h", "timeout": 0}, "longer than zero"),
        ({"endpoint": "http://h", "headers": {"a b": "c"}}, "not a header name"),
        ({"endpoint": "http://h", "headers": {"Content-Type": "c"}}, "exporter's own"),
        ({"endpoint": "http://h", "headers": {"a": "b\r\nc: d"}}, "HTTP does not allow"),
        ({"endpoint": "http://h", "max_request_size": 0}, "max_request_size"),
        ({"endpoint": "http://h", "endpiont": "http://h"}, "endpiont"),
        ({"endpoint": "http://h", "tls": {"ca_file": "/no/such/file"}}, "no such file"),
    ],
)
def test_wrong_options_are_refused(options, complaint):
    """Each wrong option is named, before anything is opened."""
    with pytest.raises(ValidationError, match=complaint):
        OtlpHttpConfig(**options)


def test_secrets_are_not_shown():
    """The text of the configuration holds no credential."""
    config = OtlpHttpConfig(endpoint="http://user:hunter2@h/", headers={"api-key": "sesame"})
    assert "sesame" not in repr(config)


# --- the environment ----------------------------------------------------------------------------------------------------------------


def _env(**variables: str) -> dict[str, str]:
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in variables.items()}


def from_environment(env: dict[str, str]) -> Options | None:
    """The options that the variables stand for."""
    return read(env).options


def doubts(env: dict[str, str]) -> list[str]:
    """Variables that are not followed."""
    return [": ".join(doubt[:2]) for doubt in read(env).doubts]


def test_no_endpoint_is_no_exporter():
    """Without an endpoint nothing is configured, whatever else is set."""
    assert from_environment({}) is None
    assert from_environment(_env(HEADERS="a=b", PROTOCOL="grpc", ENDPOINT="  ")) is None


def test_all_variables_are_read(tmp_path):
    """Every standard variable becomes the option that it stands for, and the configuration takes them."""
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    for path in files.values():
        path.touch()
    env = _env(
        ENDPOINT="http://h:4318",
        HEADERS="api-key=a%20b,x=y=z , ",
        TIMEOUT="2500",
        COMPRESSION="none",
        PROTOCOL="http/protobuf",
        CERTIFICATE=str(files["ca"]),
        CLIENT_CERTIFICATE=str(files["cert"]),
        CLIENT_KEY=str(files["key"]),
        LOGS_ENDPOINT="http://logs.test/in",
        LOGS_TIMEOUT="100",
        TRACES_ENDPOINT="http://traces.test",
        INSECURE="true",
    )
    options = from_environment(env)
    assert options == {
        "endpoint": "http://h:4318",
        "headers": {"api-key": "a b", "x": "y=z"},
        "timeout": 2.5,
        "compression": "none",
        "tls": {"ca_file": str(files["ca"]), "cert_file": str(files["cert"]), "key_file": str(files["key"])},
        "logs": {"endpoint": "http://logs.test/in", "timeout": 0.1},
        "traces": {"endpoint": "http://traces.test"},
        "signals": ["logs", "metrics", "traces"],
    }
    config = OtlpHttpConfig.model_validate(options)
    assert make_route(config, Signal.LOGS).timeout == 0.1
    assert read(env).variables["logs", "timeout"] == "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT"
    assert read(env).variables["tls", "ca_file"] == "OTEL_EXPORTER_OTLP_CERTIFICATE"


def test_only_the_signals_with_an_endpoint_are_sent():
    """A single signal's endpoint configures that signal alone."""
    assert from_environment(_env(METRICS_ENDPOINT="http://m"))["signals"] == ["metrics"]
    assert from_environment(_env(ENDPOINT="http://h"))["signals"] == ["logs", "metrics"]


def test_a_timeout_of_nothing_is_no_limit():
    """0 milliseconds mean "no limit" (configuration/common.md, "Timeout")."""
    assert from_environment(_env(ENDPOINT="http://h", TIMEOUT="0"))["timeout"] == NO_LIMIT


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"TIMEOUT": "10s"}, "OTEL_EXPORTER_OTLP_TIMEOUT: '10s' is not a whole number: the default is taken"),
        ({"TIMEOUT": "-1"}, "OTEL_EXPORTER_OTLP_TIMEOUT: '-1' is not a whole number"),
        ({"TIMEOUT": "9" * 5000}, "is not a whole number"),
        ({"HEADERS": "sesame"}, "OTEL_EXPORTER_OTLP_HEADERS: its entry 1 is not name=value"),
        ({"LOGS_HEADERS": "a=b,=sesame"}, "OTEL_EXPORTER_OTLP_LOGS_HEADERS: its entry 2 is not name=value"),
        (
            {"PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not available here: http/protobuf is sent",
        ),
        (
            {"METRICS_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'http/json' is not available here: http/protobuf is sent",
        ),
        ({"HEADERS": "content-type=sesame"}, "the header 'content-type' is the exporter's own: it is left out"),
        ({"HEADERS": "api key=sesame"}, "'api key' is not a header name: it is left out"),
        ({"LOGS_HEADERS": "x=ses%0Aame"}, "holds characters that HTTP does not allow: it is left out"),
        ({"COMPRESSION": "zstd"}, "OTEL_EXPORTER_OTLP_COMPRESSION: 'zstd' is not available here: gzip is used"),
        ({"LOGS_ENDPIONT": "http://h"}, "OTEL_EXPORTER_OTLP_LOGS_ENDPIONT: is not a variable of OpenTelemetry"),
        ({"METRICS_HEADER": "a=sesame"}, "OTEL_EXPORTER_OTLP_METRICS_HEADER: is not a variable of OpenTelemetry"),
    ],
)
def test_wrong_variables_are_named_and_left_out(variables, complaint):
    """A variable that can't be used gives a warning with its name, and all others count; header values are not repeated."""
    (found,) = doubts(_env(ENDPOINT="http://h", **variables))
    assert complaint in found
    assert "sesame" not in found
    config = OtlpHttpConfig.model_validate(from_environment(_env(ENDPOINT="http://h", **variables)))
    assert (config.timeout, config.compression, config.endpoint) == (10.0, "gzip", "http://h")


def test_all_doubts_are_reported_at_once():
    """One for each variable."""
    assert len(doubts(_env(ENDPOINT="http://h", TIMEOUT="x", HEADERS="y", PROTOCOL="grpc"))) == 3


@pytest.mark.parametrize(
    ("selectors", "signals", "about"),
    [
        ({"METRICS": "none"}, ["logs"], ""),
        ({"LOGS": "None"}, ["metrics"], ""),
        ({"LOGS": "none", "METRICS": "none"}, None, ""),
        ({"METRICS": "prometheus"}, ["logs"], ""),
        ({"LOGS": "console, otlp"}, ["logs", "metrics"], ""),
        ({"TRACES": "console"}, ["logs", "metrics"], ""),
        ({"LOGS": "console"}, ["metrics"], "console is not available by this variable"),
        ({"METRICS": "otpl"}, ["logs", "metrics"], "'otpl' is not an exporter: otlp is taken"),
    ],
)
def test_exporters_are_selected(selectors, signals, about):
    """A signal whose exporter is `none` or another than `otlp` is not sent; what is not an exporter counts as not set, with a warning."""
    env = _env(ENDPOINT="http://h") | {f"OTEL_{signal}_EXPORTER": value for signal, value in selectors.items()}
    options = from_environment(env)
    assert (options and options["signals"]) == signals
    assert [about in doubt for doubt in doubts(env)] == ([True] if about else [])


def test_an_exporter_without_an_endpoint():
    """OTLP by name without an endpoint gives a warning; nothing is sent to an address that was not given."""
    assert from_environment({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_EXPORTER": "otlp"}) is None
    assert doubts({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_EXPORTER": "otlp"}) == [
        "OTEL_METRICS_EXPORTER: no endpoint is set for metrics: they are not sent"
    ]


@pytest.mark.parametrize(
    ("value", "sent", "about"), [("TRUE", False, "nothing is sent"), ("false", True, ""), ("1", True, "counts as false")]
)
def test_the_sdk_may_be_disabled(value, sent, about):
    """Only `true`, in any case, disables it (configuration/common.md, "Boolean")."""
    env = {**_env(ENDPOINT="http://h"), "OTEL_SDK_DISABLED": value}
    assert (from_environment(env) is not None) is sent
    assert [about in doubt for doubt in doubts(env)] == ([True] if about else [])


def test_variables_without_a_meaning_here():
    """Variables that concern the sent data and have no effect here give one warning; an SDK's own variables give none."""
    quiet = {
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_PROPAGATORS": "b3",
        "OTEL_BSP_SCHEDULE_DELAY": "1",
        "OTEL_PYTHON_LOG_CORRELATION": "true",
    }
    loud = {"OTEL_BLRP_MAX_QUEUE_SIZE": "9", "OTEL_ATTRIBUTE_COUNT_LIMIT": "9"}
    assert doubts(_env(ENDPOINT="http://h") | quiet) == []
    assert doubts(_env(ENDPOINT="http://h") | quiet | loud) == [
        "OTEL_ATTRIBUTE_COUNT_LIMIT: has no meaning here, nor OTEL_BLRP_MAX_QUEUE_SIZE"
    ]
    assert doubts(quiet | loud) == []


def test_the_protocol_of_a_signal_that_is_not_sent_does_not_matter():
    """There is no warning about traces that are not sent; a signal's own protocol wins over the common one."""
    assert doubts(_env(ENDPOINT="http://h", TRACES_PROTOCOL="grpc")) == []
    assert doubts(_env(ENDPOINT="http://h", PROTOCOL="grpc", LOGS_PROTOCOL="http/protobuf", METRICS_PROTOCOL="http/protobuf")) == []


# --- what an answer means -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<center>The plain HTTP request was sent to HTTPS port</center>",
        b"You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_a_server_that_wants_tls_pauses(words):
    """Go's, nginx's and Apache's answer to HTTP on a port for HTTPS does not refuse the data: none is lost, and the message names the fix."""
    found = read_answer(_response(400, words, ("content-type", "text/html")), 3, Policy(), NOW)
    assert found.outcome is Outcome.PAUSED
    assert "write https:// in the endpoint" in found.message
    assert read_answer(_response(400, words), 3, Policy(strict=True), NOW).outcome is Outcome.REJECTED
    assert read_answer(_response(400, b"no such tenant"), 3, Policy(), NOW).outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<!DOCTYPE html><html><head><style>p {}</style><title>\n 502 Bad Gateway</title></head><body>x</body></html>", "502 Bad Gateway"),
        ("<html><body><h1>Not here</h1></body></html>", "Not here"),
        ("plain words", "plain words"),
    ],
)
def test_a_web_page_is_shown_by_its_words(page, words):
    """Of an answer that is a web page the reason holds the title or the text, and no tags."""
    found = read_answer(_response(404, page.encode(), ("content-type", "text/html")), 3, Policy(), NOW)
    assert scrub(found.message, ()) == f"HTTP 404: {words}"


@pytest.mark.parametrize("endpoint", ["collector:4317", "dns:///collector:4317", "unix:///run/otel.sock", "grpc://collector"])
def test_an_address_that_only_grpc_takes(endpoint):
    """A workload whose SDK speaks gRPC may write its endpoint without http://: nothing is sent there, and the agent still starts."""
    env = _env(ENDPOINT=endpoint, PROTOCOL="grpc")
    (found,) = doubts(env)
    assert found.startswith(f"OTEL_EXPORTER_OTLP_ENDPOINT: {endpoint!r} is an address for gRPC")
    assert from_environment(env) is None
    both = from_environment(_env(ENDPOINT=endpoint, PROTOCOL="grpc", LOGS_ENDPOINT="http://h/v1/logs", LOGS_PROTOCOL="http/protobuf"))
    assert both["signals"] == ["logs"]


@pytest.mark.parametrize("variables", [{"PROTOCOL": "HTTP/Protobuf"}, {"COMPRESSION": "GZIP"}, {"LOGS_COMPRESSION": "None"}])
def test_choices_are_read_in_either_case(variables):
    """The specification wants enumerations read without regard to case (configuration/common.md, "Enum")."""
    assert doubts(_env(ENDPOINT="http://h", **variables)) == []
    config = OtlpHttpConfig.model_validate(from_environment(_env(ENDPOINT="http://h", **variables)))
    assert {config.compression, config.logs.compression} <= {"gzip", "none", None}


@pytest.mark.parametrize(
    ("error", "url", "hint"),
    [
        (ForeignError("HTTP/2", ""), "http://h:4318/v1/logs", True),
        (NetworkError(ErrorKind.RESET, "closed"), "http://h:4317/v1/logs", True),
        (NetworkError(ErrorKind.TIMEOUT, "late"), "http://h:4317/v1/logs", True),
        (NetworkError(ErrorKind.CONNECT, "refused"), "http://h:4317/v1/logs", False),
        (NetworkError(ErrorKind.RESET, "closed"), "http://h:4318/v1/logs", False),
        (ForeignError("SSH", ""), "http://h:22/v1/logs", False),
    ],
)
def test_a_port_for_grpc_is_named(error, url, hint):
    """A server that looks like gRPC, by its bytes or by its port, is reported so, with the usual port of OTLP/HTTP."""
    assert explained(error, url).endswith("(looks like gRPC; OTLP/HTTP is usually 4318)") is hint


@pytest.mark.parametrize("status", [*range(300, 600)])
def test_every_status_is_judged_as_the_specification_says(status):
    """Strictly: 429, 502, 503, 504 are retried, 413 is too large, all else is final. By default what passes is retried, what refuses us pauses."""
    retryable = status in (429, 502, 503, 504)
    strict = Outcome.RETRY if retryable else Outcome.TOO_LARGE if status == 413 else Outcome.REJECTED
    refuses = status < 400 or status in (401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 426, 431, 451, 464, 501, 505, 511, 561)
    passes = status in (408, 425, 499, 507, 508, 509, 598, 599) or 520 <= status <= 530
    ours = Outcome.PAUSED if refuses else Outcome.RETRY if passes else strict
    assert judge(status, Policy(strict=True)) is strict
    assert judge(status, Policy()) is ours
    assert judge(status, Policy(retry_500=True)) is (Outcome.RETRY if status == 500 else ours)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((("retry-after", "0"),), 0.0),
        ((("retry-after", "120"),), 120.0),
        ((("retry-after", " 7 "),), 7.0),
        ((("retry-after", "1000000000"),), 1e9),
        ((("retry-after", "9" * 400),), None),
        ((("retry-after", "-5"),), None),
        ((("retry-after", "1.5"),), None),
        ((("retry-after", "soon"),), None),
        ((("retry-after", ""),), None),
        ((("retry-after", "٣"),), None),
        ((("retry-after", "Tue, 14 Nov 2023 22:14:20 GMT"),), 60.0),
        ((("retry-after", "Tuesday, 14-Nov-23 22:14:20 GMT"),), 60.0),
        ((("retry-after", "Tue, 14 Nov 2023 22:12:20 GMT"),), -60.0),
        ((("retry-after", "Tue, 14 Nov 2023 22:14:20 GMT"), ("date", "Tue, 14 Nov 2023 22:14:10 GMT")), 10.0),
        ((("retry-after", "Tue, 14 Nov 2023 22:14:20 GMT"), ("date", "rubbish")), 60.0),
        ((("retry-after", "Tue, 99 Nov 2023 22:14:20 GMT"),), None),
        ((("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"),), 253402300799 - NOW),
        ((), None),
    ],
)
def test_both_forms_of_retry_after_are_read(headers, seconds):
    """Seconds and dates are read, dates against the answer's own Date if there is one; nonsense is ignored."""
    assert retry_after(_response(503, b"", *headers), NOW) == seconds


def test_no_wish_without_reason_to_retry():
    """Retry-After of a final refusal is not looked at."""
    assert read_answer(_response(400, b"", ("retry-after", "5")), 3, Policy(), NOW).after is None


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_without_an_answer_it_is_tried_again(kind):
    """Whatever kept an answer from coming, the row is kept and tried again."""
    assert read_failure(NetworkError(kind, "why"), Policy(strict=True)) == Answer(Outcome.RETRY, kind.value, "why")


@pytest.mark.parametrize("kind", [ErrorKind.TIMEOUT, ErrorKind.PROTOCOL, ErrorKind.RESET, ErrorKind.BODY_TOO_LARGE])
def test_a_success_with_a_lost_body_is_a_success(kind):
    """Once a 2xx has come the data was taken; a body that is cut off or too large does not make us send it twice."""
    assert read_failure(NetworkError(kind, "why", status=200), Policy()).outcome is Outcome.BAD_RESPONSE


def test_a_refusal_with_a_lost_body_is_still_that_refusal():
    """The status decides; but a body over the limit is never a reason to retry (specification, "OTLP/HTTP Response")."""
    assert read_failure(NetworkError(ErrorKind.RESET, "why", status=503), Policy()).outcome is Outcome.RETRY
    assert read_failure(NetworkError(ErrorKind.BODY_TOO_LARGE, "why", status=503), Policy()).outcome is Outcome.REJECTED
    assert read_failure(NetworkError(ErrorKind.BODY_TOO_LARGE, "why", status=413), Policy()).outcome is Outcome.TOO_LARGE


@pytest.mark.parametrize(
    ("outcome", "error"),
    [(Outcome.RETRY, RetryableError), (Outcome.PAUSED, PausedError), (Outcome.TOO_LARGE, TooLargeError), (Outcome.REJECTED, RejectedError)],
)
def test_refusals_become_the_contracts_exceptions(outcome, error):
    """Each outcome is the one exception that the host acts on, of exactly that type."""
    with pytest.raises(error) as raised:
        settle(Answer(outcome, "500", "why", after=3.0))
    assert type(raised.value) is error
    assert str(raised.value) == "why"
    assert raised.value.after == (3.0 if outcome is Outcome.RETRY else None) if isinstance(raised.value, RetryableError) else True


def test_a_servers_words_are_made_harmless():
    """One line, bounded, no control characters, none of the client's credentials, no password of any URL."""
    text = scrub("no\x1b[31m\r\nentry for Bearer sesame at http://u:pw@h/\x00" + "x" * 1000, ("Bearer sesame", "sesame"))
    assert text.startswith("no [31m entry for ********** at http://**********@h/ xxx")
    assert (len(text), text.isprintable(), text[-1]) == (300, True, "…")


# --- on the wire --------------------------------------------------------------------------------------------------------------------


async def test_the_request_is_what_the_specification_wants():
    """POST, protobuf, gzip, our headers and User-Agent; the body is the row's, byte by byte."""
    row = _row()
    async with OtlpServer() as server:
        exporter = _exporter(endpoint=server.url, headers={"Authorization": "Bearer sesame"})
        assert await exporter.export(row) == Accepted()
        await exporter.close()
        [request] = server.log.requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/logs", row.body)
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": USER_AGENT,
        "content-length": str(len(row.body)),
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "authorization": "Bearer sesame",
    }
    assert USER_AGENT.split()[1].startswith("OTel-OTLP-Exporter-Python/")


async def test_without_compression_the_request_is_unpacked():
    """`compression: none` sends the plain protobuf and no Content-Encoding."""
    async with OtlpServer() as server:
        exporter = _exporter(endpoint=server.url, compression="none")
        await exporter.export(_row())
        await exporter.close()
        [request] = server.log.requests
        assert "content-encoding" not in request.headers
        assert len(ExportLogsServiceRequest.FromString(request.body).resource_logs[0].scope_logs[0].log_records) == 3


async def test_each_signal_goes_its_way():
    """Logs, metrics and traces have their own paths, and a connection each that is kept."""
    async with OtlpServer() as server:
        exporter = _exporter(endpoint=server.url, signals=["logs", "metrics", "traces"])
        for _ in range(2):
            for signal in (Signal.LOGS, Signal.METRICS, Signal.TRACES):
                await exporter.export(_row(signal))
        await exporter.close()
        assert sorted(request.path for request in server.log.requests) == ["/v1/logs"] * 2 + ["/v1/metrics"] * 2 + ["/v1/traces"] * 2
        assert server.log.connections == 3


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_a_request_over_our_own_limit_is_never_sent(compression):
    """The limit holds before and after compression; the host has to halve the row, and it is counted."""
    async with OtlpServer() as server:
        exporter = _exporter(endpoint=server.url, max_request_size=20, compression=compression)
        with pytest.raises(TooLargeError, match="over our own limit of 20 bytes"):
            await exporter.export(_row())
        await exporter.close()
        assert server.log.connections == 0
    assert counted(exporter) == {("too_large", "not_sent"): 1}


async def test_a_row_of_exactly_the_limit_is_sent():
    """The limit itself is allowed."""
    row = _row(records=100)
    async with OtlpServer() as server:
        exporter = _exporter(endpoint=server.url, max_request_size=row.raw_size)
        await exporter.export(row)
        await exporter.close()


async def test_an_echoed_secret_is_not_repeated():
    """A server that quotes our token in its refusal does not get it into our logs or dead letters."""
    async with OtlpServer(answer(400, b"bad token sesame", {"Content-Type": "text/plain"})) as server:
        exporter = _exporter(endpoint=server.url, headers={"Authorization": "Bearer sesame"})
        with pytest.raises(RejectedError) as raised:
            await exporter.export(_row())
        await exporter.close()
    assert raised.value.reason == f"{server.url}/v1/logs: HTTP 400: bad token **********"


def test_nothing_is_opened_by_making_it():
    """An exporter can be made with any endpoint, and thrown away."""
    assert _exporter(endpoint="http://nowhere.test").signals == {Signal.LOGS, Signal.METRICS}


async def test_closing_is_safe_before_the_start_and_twice():
    """`close` without a request, and again, does nothing."""
    exporter = _exporter(endpoint="http://nowhere.test")
    await exporter.close()
    await exporter.close()


def counted(exporter: OtlpHttp) -> dict[tuple[str, str], int]:
    """(outcome, status) → number of requests."""
    data = exporter._context.metrics.collect().resource_metrics[0].scope_metrics[0].metrics
    [metric] = [one for one in data if one.name == REQUESTS.name]
    return {(point.attributes["outcome"], point.attributes["status"]): point.value for point in metric.data.data_points}


# --- the fake server ----------------------------------------------------------------------------------------------------------------


async def test_the_server_keeps_what_it_accepted(tmp_path):
    """The store holds the requests that were answered with 200, and they can be decoded; a torn frame at the end is left out."""
    store = tmp_path / "store"
    async with OtlpServer(answer(503), partial_success(1), limit=100, store=store) as server:
        exporter = _exporter(endpoint=server.url)
        for row in (_row(), _row(), _row(), _row(), _row(records=500)):
            try:
                await exporter.export(row)
            except (RetryableError, TooLargeError):
                continue
        await exporter.close()
    stored = list(read_store(store))
    assert [one.path for one in stored] == ["/v1/logs"] * 2
    assert len(stored[0].decode().resource_logs[0].scope_logs[0].log_records) == 3
    assert repeats(stored) == 1
    store.write_bytes(store.read_bytes()[:-1])
    assert len(list(read_store(store))) == 1


def test_plans_repeat():
    """A plan's steps come as often as it says, for ever."""
    plan = parse_plan("ok:2, 503")
    replies = [next(plan) for _ in range(6)]
    assert [None if reply is None else reply.raw[9:12] for reply in replies] == [None, None, b"503"] * 2
