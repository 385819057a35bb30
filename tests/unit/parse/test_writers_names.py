"""One line of each writer of JSON: its own names for time, level, message and ids are understood."""

from __future__ import annotations

import json

import pytest

from agent.parse.json_lines import parse
from agent.parse.lines import Parser
from agent.record import Origin

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SECOND = 1_795_344_683_000_000_000
"""2026-11-22T10:51:23Z"""
AT = "2026-11-22T10:51:23Z"
NOW = SECOND + 3600 * 10**9

WRITERS = {
    "CLEF": ({"@t": AT, "@l": "Warning", "@mt": "Disk {Name} is nearly full", "Name": "sda"}, 13, "Disk {Name} is nearly full"),
    "CLEF without a level": ({"@t": AT, "@m": "Started", "@i": "3f1a"}, 9, "Started"),
    "Serilog": (
        {"Timestamp": AT, "Level": "Fatal", "MessageTemplate": "Stop {A}", "RenderedMessage": "Stop 1", "Properties": {}},
        21,
        "Stop 1",
    ),
    ".NET console": ({"EventId": 14, "LogLevel": "Critical", "Category": "Shop", "Message": "No disk", "Timestamp": AT}, 21, "No disk"),
    "upper case": ({"TIMESTAMP": AT, "LEVEL": "ERROR", "MESSAGE": "late"}, 17, "late"),
    "NLog": ({"Time": AT, "Level": "Warn", "Logger": "Shop.Pay", "Message": "slow"}, 13, "slow"),
    "log4j 2": (
        {"instant": {"epochSecond": SECOND // 10**9, "nanoOfSecond": 0}, "level": "FATAL", "loggerName": "a.B", "message": "gone"},
        21,
        "gone",
    ),
    "log4j 2, older": ({"timeMillis": SECOND // 10**6, "level": "WARN", "loggerName": "a.B", "message": "slow"}, 13, "slow"),
    "logback": ({"timestamp": SECOND // 10**6, "level": "INFO", "message": "Hello {}", "formattedMessage": "Hello you"}, 9, "Hello you"),
    "logstash for logback": ({"@timestamp": AT, "@version": "1", "message": "m", "level": "ERROR", "level_value": 40000}, 17, "m"),
    "ECS": ({"@timestamp": AT, "log.level": "error", "message": "m", "ecs.version": "1.6.0", "log.logger": "a"}, 17, "m"),
    "bunyan": ({"name": "a", "hostname": "h", "pid": 1, "level": 50, "msg": "m", "time": AT, "v": 0}, 17, "m"),
    "pino": ({"level": 40, "time": SECOND // 10**6, "pid": 1, "hostname": "h", "msg": "m"}, 13, "m"),
    "pino without a base": ({"level": 30, "time": SECOND // 10**6, "msg": "m"}, 9, "m"),
    "winston": ({"level": "verbose", "message": "m", "timestamp": AT}, 1, "m"),
    "winston, coloured": ({"level": "\x1b[32mdebug\x1b[39m", "message": "\x1b[32mm\x1b[39m", "timestamp": AT}, 5, "m"),
    "zap": ({"level": "dpanic", "ts": SECOND / 10**9, "logger": "a", "caller": "m.go:1", "msg": "m"}, 18, "m"),
    "zerolog": ({"level": "panic", "time": AT, "message": "m"}, 21, "m"),
    "slog": ({"time": AT, "level": "WARN+3", "source": {"line": 1}, "msg": "m"}, 16, "m"),
    "logrus": ({"level": "warning", "msg": "m", "time": AT}, 13, "m"),
    "hclog": ({"@level": "trace", "@message": "m", "@module": "a", "@timestamp": AT}, 1, "m"),
    "log15": ({"lvl": "eror", "msg": "m", "t": AT}, 17, "m"),
    "Rust's tracing": ({"timestamp": AT, "level": "WARN", "fields": {"message": "m", "n": 1}, "target": "app"}, 13, "m"),
    "Caddy": (
        {"level": "error", "ts": SECOND / 10**9, "logger": "http.log.access", "msg": "handled request", "status": 502},
        17,
        "handled request",
    ),
    "Traefik": ({"ClientAddr": "192.0.2.7:1", "DownstreamStatus": 200, "StartUTC": "x", "level": "info", "msg": "", "time": AT}, 9, ""),
    "AWS Lambda": ({"timestamp": AT, "level": "ERROR", "message": "m", "requestId": "r"}, 17, "m"),
    "Datadog": ({"timestamp": AT, "status": "critical", "message": "m", "service": "s"}, 21, "m"),
    "MongoDB": (
        {"t": {"$date": "2026-11-22T10:51:23.000+00:00"}, "s": "E", "c": "NETWORK", "id": 1, "ctx": "c", "msg": "m", "attr": {}},
        17,
        "m",
    ),
    "MongoDB, debug": ({"t": {"$date": AT}, "s": "D2", "c": "STORAGE", "id": 1, "ctx": "c", "msg": "m"}, 5, "m"),
    "the journal": ({"__REALTIME_TIMESTAMP": str(SECOND // 1000), "PRIORITY": "2", "MESSAGE": "m", "_PID": "1"}, 18, "m"),
    "the journal, bytes": ({"__REALTIME_TIMESTAMP": str(SECOND // 1000), "PRIORITY": "6", "MESSAGE": [109, 195, 169]}, 9, "mé"),
    "Google Cloud": ({"severity": "EMERGENCY", "timestamp": {"seconds": SECOND // 10**9, "nanos": 0}, "message": "m"}, 21, "m"),
    "Google Cloud, exported": ({"severity": "WARNING", "timestamp": AT, "jsonPayload": {"message": "m", "a": 1}}, 13, "m"),
    "PostgreSQL": ({"timestamp": "2026-11-22 10:51:23.000 UTC", "error_severity": "LOG", "message": "m", "pid": 5}, 9, "m"),
    "Monolog": ({"message": "m", "level": 400, "level_name": "ERROR", "channel": "app", "datetime": "2026-11-22T10:51:23+00:00"}, 17, "m"),
    "Python, numbers": ({"asctime": "2026-11-22 10:51:23,000", "levelno": 50, "message": "m"}, 21, "m"),
    "a colour without its escape": ({"timestamp": AT, "level": "[31merror[0m", "message": "m"}, 17, "m"),
    "nginx": ({"time_iso8601": "2026-11-22T10:51:23+00:00", "status": "404", "request": "GET / HTTP/1.1", "message": "m"}, 13, "m"),
    "Envoy": ({"start_time": "2026-11-22T10:51:23.000Z", "method": "GET", "path": "/", "response_code": 503, "message": "m"}, 17, "m"),
    "OpenTelemetry": (
        {"Timestamp": str(SECOND), "SeverityText": "WARN", "SeverityNumber": 14, "Body": "m", "Attributes": {"a": 1}},
        14,
        "m",
    ),
    "OTLP": (
        {
            "timeUnixNano": str(SECOND),
            "severityNumber": 17,
            "body": {"stringValue": "m"},
            "attributes": [{"key": "a", "value": {"intValue": "1"}}],
        },
        17,
        "m",
    ),
}


@pytest.mark.parametrize(("fields", "severity", "body"), WRITERS.values(), ids=WRITERS)
def test_a_writers_own_names_are_understood(fields, severity, body):
    """Time, severity and message are those of the record, for any writer and any number of lines."""
    line = json.dumps(fields).encode()

    parsed = parse(line, NOW)
    many, drops = Parser("json").parse_chunk([(at, line) for at in range(300)], Origin("f"), NOW)

    assert (parsed.time_ns, parsed.severity, parsed.body, parsed.reasons) == (SECOND, severity, body, ())
    assert {(one.time_ns, one.severity, one.body) for one in many} == {(SECOND, severity, body)}
    assert (len(many), drops) == (300, {})


def test_attributes_of_the_data_model_stand_side_by_side():
    """Nested fields of OpenTelemetry's JSON come out as in the data model; the resource stays one object."""
    line = b'{"SeverityNumber":9,"Body":"m","Attributes":{"a":{"b":1}},"Resource":{"service.name":"s"},"TraceId":"0x%s","SpanId":"0x%s"}'

    parsed = parse(line % (TRACE.encode(), SPAN.encode()), NOW)

    assert parsed.attributes == {"a": {"b": 1}, "Resource": {"service.name": "s"}}
    assert (parsed.trace_id.hex(), parsed.span_id.hex()) == (TRACE, SPAN)


@pytest.mark.parametrize(
    ("fields", "trace", "span"),
    [
        ({"trace_id": SPAN, "span_id": SPAN}, "0" * 16 + SPAN, SPAN),
        ({"TraceID": TRACE, "SpanID": SPAN}, TRACE, SPAN),
        ({"@tr": TRACE, "@sp": SPAN}, TRACE, SPAN),
        ({"dd.trace_id": "9223372036854775807", "dd.span_id": "4611686018427387"}, "0" * 16 + "7fffffffffffffff", "0010624dd2f1a9fb"),
        ({"dd": {"trace_id": TRACE, "span_id": "255"}}, TRACE, "00000000000000ff"),
        ({"logging.googleapis.com/trace": f"projects/p/traces/{TRACE}", "logging.googleapis.com/spanId": SPAN}, TRACE, SPAN),
        ({"trace": f"projects/p/traces/{TRACE}", "spanId": SPAN}, TRACE, SPAN),
        ({"xray_trace_id": f"1-{TRACE[:8]}-{TRACE[8:]}"}, TRACE, ""),
        ({"span_id": SPAN}, "", ""),
        ({"trace_id": "0" * 32, "span_id": SPAN}, "", ""),
        ({"trace_id": TRACE[:20], "span_id": SPAN}, "", ""),
    ],
)
def test_ids_come_as_a_pair(fields, trace, span):
    """Shorter and decimal ids get their zeros where it is certain whose they are; without a trace there is no span, and the field stays."""
    parsed = parse(json.dumps(fields).encode(), NOW)

    assert (parsed.trace_id.hex(), parsed.span_id.hex()) == (trace, span)
    assert bool(parsed.attributes) is not bool(trace)


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": AT, "message": "m", "status": "success"},
        {"timestamp": AT, "message": "m", "status": 200},
        {"timestamp": AT, "message": "m", "priority": 3},
        {"timestamp": AT, "message": "m", "s": "E"},
        {"timestamp": AT, "message": "m", "t": 1795344683, "text": "x"},
    ],
)
def test_a_name_that_mostly_means_something_else_stays_an_attribute(fields):
    """A status, a priority, a letter: no level is made up, and nothing is taken away."""
    parsed = parse(json.dumps(fields).encode(), NOW)

    assert (parsed.severity, parsed.attributes) == (
        0,
        {name: value for name, value in fields.items() if name not in ("timestamp", "message")},
    )


def test_dictionaries_of_structlog_are_an_exception_of_opentelemetry_too():
    """Type, message and the text that Python would print stand beside the list that the writer made."""
    frames = [{"filename": "/app/pay.py", "lineno": 7, "name": "pay"}]
    stack = {"exc_type": "KeyError", "exc_value": "'card'", "exc_notes": [], "syntax_error": None, "is_cause": False, "frames": frames}
    line = json.dumps({"event": "refused", "level": "error", "timestamp": AT, "exception": [stack]}).encode()

    (record,) = Parser("json").parse_chunk([(0, line)], Origin("f"), NOW)[0]

    assert (record.attributes["exception.type"], record.attributes["exception.message"]) == ("KeyError", "'card'")
    assert record.attributes["exception.stacktrace"] == (
        "Traceback (most recent call last):\n  File \"/app/pay.py\", line 7, in pay\nKeyError: 'card'\n"
    )
    assert record.attributes["exception"] == [stack]
