"""Logs whose first lines name their fields: the names apply to the lines below, over restarts and until other names come."""

from __future__ import annotations

import pytest

from agent.parse.lines import Parser
from agent.record import Origin
from tests.support.sentry import records_of

ORIGIN = Origin("f")
NOW = 1_795_348_800_000_000_000
AT = 1_795_341_600_000_000_000
FIELDS = "#Fields: date time cs-method cs-uri-stem sc-status time-taken till"
LINE = "2026-11-22 10:00:00 GET /shelf 503 17 -"


def read(parser: Parser, *lines: str, at: int = 0):
    """The records of the lines, a hundred bytes each."""
    placed = [(at + 100 * number, line.encode()) for number, line in enumerate(lines)]
    return [*parser.parse_chunk(placed, ORIGIN, NOW)[0], *parser.flush(NOW)]


def test_a_line_has_the_fields_that_the_directive_names():
    """Known names become OpenTelemetry's, others stay; a status gives the severity; `-` is not a value."""
    *_, record = read(Parser(), "#Version: 1.0", FIELDS, LINE)

    assert (record.body, record.severity, record.time_ns) == (LINE, 17, AT)
    assert record.attributes == {
        "http.request.method": "GET", "url.path": "/shelf", "http.response.status_code": 503, "time-taken": 17,
    }  # fmt: skip


def test_the_names_are_known_after_a_restart():
    """They are a part of the format's name, which goes with the position."""
    parser = Parser()
    read(parser, FIELDS, LINE)

    (record,) = read(Parser.from_state(parser.state()), LINE, at=200)

    assert record.attributes["url.path"] == "/shelf"


def test_other_names_apply_from_their_line_on():
    """A server that is configured again writes a new head into the same file."""
    records = read(Parser(), FIELDS, LINE, "#Fields: time date c-ip sc-bytes", "10:00:00 2026-11-22 192.0.2.7 12")

    assert records[1].attributes["url.path"] == "/shelf"
    assert (records[3].attributes, records[3].time_ns) == ({"client.address": "192.0.2.7", "http.response.body.size": 12}, AT)


@pytest.mark.parametrize(
    ("fields", "line", "expected"),
    [
        ("#Fields: date time c-ip cs(User-Agent)", "2026-11-22\t10:00:00\t192.0.2.7\ta b", {"client.address": "192.0.2.7", "user_agent.original": "a b"}),
        ("#Fields: date time cs(User-Agent) s-port", "2026-11-22 10:00:00 curl/8+(x) 443", {"user_agent.original": "curl/8 (x)", "server.port": 443}),
        ("#Fields: date-time,event,data", '2026-11-22T10:00:00Z,RECEIVE,"a, ""b"""', {"event": "RECEIVE", "data": 'a, "b"'}),
        ("#Fields: date time x-note s-port", '2026-11-22 10:00:00 "two words" 80', {"x-note": "two words", "server.port": 80}),
        ("#Fields: date time action src-ip dst-port", "2026-11-22 10:00:00 DROP 192.0.2.7 22", {"action": "DROP", "source.address": "192.0.2.7", "destination.port": 22}),
        ("#Fields: date time cs(Referer) cs-uri-query", "2026-11-22 10:00:00 https://a/ 7", {"http.request.header.referer": ["https://a/"], "url.query": "7"}),
    ],
)  # fmt: skip
def test_fields_stand_between_blanks_tabs_or_commas(fields, line, expected):
    """As CloudFront, IIS, Exchange and the Windows firewall put them."""
    _, record = read(Parser(), fields, line)

    assert (record.attributes, record.time_ns) == (expected, AT)


def test_the_default_order_is_known_without_a_directive():
    """A file that is read from its end has shown none."""
    ((record),) = records_of(b"2026-11-22 10:00:00 10.0.0.4 GET /shelf - 443 - 192.0.2.7 curl/8 - 404 0 2 17")

    assert (record.attributes["url.path"], record.severity) == ("/shelf", 13)


@pytest.mark.parametrize(
    "line", ["2026-11-22 10:00:00 GET /shelf 503", "2026-11-22 10:00:00 ERROR card refused", "no fields at all", "# Fields of gold"]
)
def test_another_line_is_read_as_it_is_elsewhere(line):
    """It has not as many fields as were named."""
    (alone,) = read(Parser(), line)
    record = read(Parser(), FIELDS, line)[1]

    assert (record.body, record.severity, record.attributes) == (alone.body, alone.severity, alone.attributes)
