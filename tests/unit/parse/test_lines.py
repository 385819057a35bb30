"""The parser as a tailer uses it: what is open, what is joined, what is counted, what survives."""

from __future__ import annotations

import pytest

from agent.parse.limits import INCOMPLETE, MAX_ATTRIBUTES, MAX_JOINED_LINES, MAX_TEXT
from agent.parse.lines import FORMAT_NAMES, Parser
from agent.record import Origin

ORIGIN = Origin("f", {"log.file.path": "/var/log/a.log"})
NOW = 1_795_348_800_000_000_000
JSON = b'{"event":"x","level":"info","timestamp":"2026-11-22T10:00:00.000001Z"}'
TRACEBACK = [b"Traceback (most recent call last):", b'  File "a.py", line 1, in f', b"    g()", b"ValueError: no"]


def place(*lines: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """Lines with running numbers as offsets."""
    return list(enumerate(lines, start))


def parse(parser: Parser, *lines: bytes, start: int = 0):
    """Records of some lines, without what is open."""
    return parser.parse_chunk(place(*lines, start=start), ORIGIN, NOW)


def test_a_json_line_is_complete_as_it_stands():
    """Nothing is open after it, so that its position can be stored at once."""
    parser = Parser()
    records, drops = parse(parser, JSON)

    assert (len(records), drops, parser.open_offset()) == (1, {}, None)
    assert (records[0].origin, records[0].observed_ns, records[0].offset) == (ORIGIN, NOW, 0)


def test_a_text_line_is_open_until_the_next():
    """More of it may follow."""
    parser = Parser()
    assert parse(parser, b"one") == ([], {})
    assert parser.open_offset() == 0
    records, _ = parse(parser, b"two", start=1)

    assert ([record.body for record in records], parser.open_offset()) == (["one"], 1)
    assert [record.body for record in parser.flush(NOW)] == ["two"]
    assert parser.open_offset() is None


def test_a_raw_traceback_between_json_lines_is_a_record_of_its_own():
    """The interpreter printed it, not the logger; it is an error."""
    parser = Parser()
    records, _ = parse(parser, JSON, *TRACEBACK, JSON)

    assert [record.body for record in records] == ["x", "ValueError: no", "x"]
    assert (records[1].severity, records[1].attributes["exception.type"], records[1].offset) == (17, "ValueError", 1)
    assert records[1].attributes["exception.stacktrace"] == b"\n".join(TRACEBACK).decode()


def test_a_position_does_not_pass_an_open_traceback():
    """Its first line is needed again until it is complete."""
    parser = Parser()
    records, _ = parse(parser, JSON, *TRACEBACK[:2])

    assert ([record.body for record in records], parser.open_offset()) == (["x"], 1)


def test_a_traceback_belongs_to_the_text_record_before_it():
    """As `logger.exception` writes it."""
    parser = Parser()
    parse(parser, b"2026-11-22 10:00:00,123 - app - ERROR - failed", *TRACEBACK)
    (record,) = parser.flush(NOW)

    assert (record.body, record.attributes["logger"], record.attributes["exception.message"]) == ("failed", "app", "no")


def test_a_traceback_that_never_ends_is_closed_by_a_flush():
    """Cut off by a crash: what is there is kept."""
    parser = Parser()
    parse(parser, *TRACEBACK[:2])
    (record,) = parser.flush(NOW)

    assert record.attributes["exception.stacktrace"] == b"\n".join(TRACEBACK[:2]).decode()
    assert "exception.type" not in record.attributes


def test_what_is_joined_is_bounded_in_lines():
    """The next line is a record of its own; no line is lost, so nothing is counted."""
    more = MAX_JOINED_LINES + 10
    records, drops = parse(Parser(), b"2026-11-22 10:00:00 head", *[b"more"] * more, b"2026-11-22 10:00:01 next")

    assert drops == {}
    assert [INCOMPLETE in record.attributes for record in records] == [True, False]
    assert sum(record.body.count("more") for record in records) == more


def test_what_is_joined_is_bounded_in_bytes():
    """Text that a body has no room for is in further records."""
    parser = Parser()
    records, drops = parse(parser, b"2026-11-22 10:00:00 head", *[b"x" * 60_000] * 40)
    records += parser.flush(NOW)

    assert drops == {}
    assert sum(str(record.body).count("x") for record in records) == 40 * 60_000
    assert all(len(record.body) <= MAX_TEXT for record in records)


def test_a_long_text_is_cut_and_says_so():
    """In the body, in an attribute, at any depth; counted once per record."""
    parser = Parser()
    line = b'{"event":"e","level":"info","a":{"b":["%s"]}}' % (b"x" * (MAX_TEXT + 1))
    ((record,), drops) = parse(parser, line)

    assert len(record.attributes["a"]["b"][0]) == MAX_TEXT
    assert (record.attributes["log.truncated"], drops) == (True, {"oversized": 1})


def test_too_many_attributes_are_dropped_and_counted_in_the_record():
    """Backends refuse whole requests for them."""
    fields = ",".join(f'"k{number}":{number}' for number in range(MAX_ATTRIBUTES + 5))
    ((record,), drops) = parse(Parser(), b'{"event":"e","level":"info","timestamp":"2026-11-22T10:00:00Z",%s}' % fields.encode())

    assert (len(record.attributes), record.dropped_attributes, drops) == (MAX_ATTRIBUTES, 5, {"attribute_limit": 1})


@pytest.mark.parametrize("line", [b"", b"   ", b"\r", b"\xef\xbb\xbf"])
def test_an_empty_line_is_no_record_and_no_loss(line):
    """No output."""
    assert parse(Parser(), line, line) == ([], {})


def test_a_run_of_nuls_is_one_counted_gap():
    """The hole that a writer without O_APPEND leaves when its file was cut."""
    records, drops = parse(Parser(), b"\0" * 4096 + JSON, JSON)

    assert ([record.body for record in records], drops) == (["x", "x"], {"nul_gap": 1})


def test_only_a_newline_ends_a_line():
    """U+2028, U+0085, form feed and a lone CR are text."""
    ((record,), _) = parse(Parser(), '{"event":"a\u2028b\u0085c","level":"info"}'.encode())
    parser = Parser()
    parse(parser, "a\u2028b\u0085c\x0cd\re".encode())

    assert record.body == "a\u2028b\u0085c"
    assert [one.body for one in parser.flush(NOW)] == ["a\u2028b\u0085c\x0cd\re"]


def test_the_format_is_found_again_when_it_changes():
    """Each line is read by its own format at once; the new one is the file's after three."""
    parser = Parser()
    logfmt = b"ts=2026-11-22T10:00:00Z level=info msg=hi"
    records, drops = parse(parser, JSON, logfmt, logfmt, logfmt, JSON, logfmt)

    assert ([record.body for record in records], drops) == (["x", "hi", "hi", "hi", "x", "hi"], {})
    assert b"logfmt" in parser.state()


def test_a_value_with_blanks_that_repr_wrote_is_no_row_of_pairs():
    """The rest of it would be a key: structlog's `KeyValueRenderer` writes `payload={'a': 'b'}`."""
    line = b"event='sent' payload={'a': 'b'} n=1"
    parser = Parser()
    parse(parser, line)
    assert [record.body for record in parser.flush(NOW)] == [line.decode()]


def test_a_given_format_is_not_second_guessed():
    """A line in another format is plain text, counted; a JSON line in a file that is configured as plain stays text."""
    parser = Parser("plain")
    parse(parser, JSON)
    assert [record.body for record in parser.flush(NOW)] == [JSON.decode()]

    records, drops = parse(Parser("json"), b"level=info msg=hi", JSON)
    assert ([record.body for record in records], drops) == (["level=info msg=hi", "x"], {"malformed_json": 1})


def test_a_format_that_nobody_knows_is_refused():
    """The message names those that there are."""
    with pytest.raises(ValueError, match=r"no such format: 'xml'; there are auto, json"):
        Parser("xml")


@pytest.mark.parametrize("state", [b"", b"{}", b"[1]", b"\xff", b'["docker",0,[["",["json","",0]]]', b"null"])
def test_a_state_that_cannot_be_read_is_as_good_as_none(state):
    """After an upgrade or a damage the formats are found again."""
    assert Parser.from_state(state).state() == Parser().state()


def test_the_state_survives():
    """The found format is known after a restart."""
    parser = Parser()
    parse(parser, b"ts=2026-11-22T10:00:00Z level=info msg=hi")

    assert Parser.from_state(parser.state()).state() == parser.state()


def test_the_search_text_holds_what_was_open():
    """A record that began in an earlier chunk is in the text of the chunk that completes it."""
    parser = Parser()
    parse(parser, b"password=hunter2")
    parse(parser, b"next", start=1)

    assert parser.text == b"password=hunter2\nnext"


def test_there_is_no_search_text_for_what_was_in_pieces():
    """A word may have been cut in two."""
    parser = Parser()
    parse(parser, b"2026-11-22T10:00:00Z stdout P pass", b"2026-11-22T10:00:00Z stdout F word=x")

    assert parser.text is None


def test_a_piece_without_end_is_open_and_given_out_by_a_flush():
    """The container died in the middle of a line."""
    parser = Parser()
    parse(parser, b"2026-11-22T10:00:00Z stdout P half")

    assert parser.open_offset() == 0
    assert [record.body for record in parser.flush(NOW)] == ["half"]


def test_a_container_file_that_became_another_is_noticed():
    """After three unwrapped lines in a row the file no longer counts as a container's."""
    parser = Parser()
    records, drops = parse(parser, b"2026-11-22T10:00:00Z stdout F " + JSON, JSON, JSON, JSON, JSON)

    assert drops == {"malformed_cri": 3}
    assert [record.body for record in records] == ["x", JSON.decode(), JSON.decode(), JSON.decode(), "x"]


def test_no_stream_can_be_held_up_for_ever():
    """A traceback on stderr that never ends lets at most a thousand records of stdout wait."""
    cri = b"2026-11-22T10:00:00Z %s F %s"
    parser = Parser()
    records, _ = parse(parser, cri % (b"stderr", TRACEBACK[0]), *[cri % (b"stdout", JSON)] * 1_100)

    assert len(records) > 1_000
    assert [record.offset for record in records] == sorted(record.offset for record in records)


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_flush_before_anything_is_empty(name):
    """A source that never gave a line has no record."""
    assert Parser(name).flush(NOW) == []


HOSTILE = {
    "dashes": b"2026-01-01 00:00:00 " + b"- " * 30_000,
    "quotes": b'level=info ts=1 msg="' + b'\\"' * 30_000,
    "pairs": b"level=x " + b"a= " * 20_000 + b'"',
    "brackets": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "spaces": b"{" + b" " * 60_000,
    "structured data": b"<13>1 - - - - - [" + b'a b="c"' * 8_000,
    "docker": b'{"log":"' + b'\\"' * 30_000,
    "docker attributes": b'{"log":"x\\n","stream":"stdout","attrs":'
    + b'{"a":' * 900
    + b"1"
    + b"}" * 900
    + b',"time":"2026-11-22T10:00:00Z"}',
    "digits": b'{"event":"e","n":' + b"9" * 60_000 + b"}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_costs_no_more_than_its_length(name):
    """No layout may be tried in more than linear time; a line that was made to hurt becomes a record within the test's time limit."""
    parser = Parser()
    records, _ = parse(parser, *[HOSTILE[name]] * 5)

    assert len(records + parser.flush(NOW)) == 5


def test_a_coloured_level_is_a_level():
    """As uvicorn writes it on a terminal: the colours are not content, and hide nothing."""
    parser = Parser()
    parse(parser, b"\x1b[32mINFO\x1b[0m:     Started server process [1]")
    (record,) = parser.flush(NOW)

    assert (record.severity_text, record.body) == ("INFO", "Started server process [1]")
