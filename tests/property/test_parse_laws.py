"""Laws of parsing: whatever the bytes are, nothing raises, nothing is lost, and neither chunks nor restarts can be seen in the records."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.columns import Records
from agent.encode.otlp_decode import decode_logs
from agent.encode.otlp_logs import LogEncoder
from agent.parse import json_columns
from agent.parse.json_lines import parse
from agent.parse.lines import Parser
from agent.record import LogRecord, Origin

pytestmark = pytest.mark.property

NOW = 1_795_348_800_000_000_000
ORIGIN = Origin("f")

WIDE = st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30])
DIGITS = st.sampled_from([" 12345678901234567890", "a,-1234567890123456789", "[" * 65, "{" * 65])
"""Texts that look like what is hazardous as a number, or as nesting."""
SCALARS = (
    st.none() | st.booleans() | st.integers() | WIDE | DIGITS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
NAMES = st.sampled_from(
    [
        "timestamp",
        "time",
        "ts",
        "level",
        "severity",
        "levelname",
        "event",
        "message",
        "msg",
        "trace_id",
        "span_id",
        "traceparent",
        "trace_flags",
        "pid",
        "v",
        "n",
        "log",
        "trace",
        "record",
        "a",
    ]
)
TIMES = st.sampled_from(
    [
        "2026-11-22T10:00:00.123456Z",
        "2026-11-22T10:00:00.123456Z" * 2,
        "2026-11-22 10:00:00",
        "now",
        "",
        1_790_000_000,
        1_790_000_000_123.5,
        0,
        -1,
        None,
    ]
)
LEVELS = st.sampled_from(["info", "ERROR", "odd", "", 30, 7, 60, 1e300, None, True])
NESTED = b"[" * 70 + b"12345678901234567890" + b"]" * 70
BEFORE = st.none() | st.just(NESTED) | VALUES.map(lambda value: json.dumps(value).encode())
IDS = st.sampled_from(
    ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "0" * 32, "0" * 16, "12", " " * 32, "4bf92f3577b34da6 3ce929d0e0e47 6", 5]
)
OBJECTS = st.builds(
    lambda base, time, level, ids, extra: {**base, "timestamp": time, "level": level, "event": "e", **ids, **extra},
    st.dictionaries(NAMES | st.text(max_size=6), VALUES, max_size=5),
    TIMES,
    LEVELS,
    st.dictionaries(st.sampled_from(["trace_id", "span_id"]), IDS, max_size=2),
    st.dictionaries(NAMES, VALUES, max_size=2),
)
TABLES = st.lists(NAMES | st.text(max_size=6), max_size=4, unique=True).flatmap(
    lambda names: st.lists(
        st.builds(
            lambda values, time, level: {"timestamp": time, **dict(zip(names, values, strict=True)), "level": level, "event": "e"},
            st.tuples(*(VALUES for _ in names)),
            st.sampled_from(["2026-11-22T10:00:00.123456Z"] * 9 + ["2026-11-22 10:00:00", "now", "", "2026-11-22T10:00:00.123456Z" * 2]),
            st.sampled_from(["info"] * 9 + ["odd", 30, None]),
        ),
        min_size=1,
        max_size=8,
    )
)
"""Lines with the same names, hence columns of more than one value, of one type or of several."""
FRAGMENTS = st.sampled_from(
    [
        b"Traceback (most recent call last):", b'  File "a.py", line 1, in f', b"    f()", b"    ^^^", b"ValueError: no", b"", b" indented",
        b"During handling of the above exception, another exception occurred:", b'{"event":"x","level":"info","timestamp":"2026-01-01T00:00:00Z"}',
        b'{"event":', b"2026-11-22 10:00:00,123 - a - ERROR - text", b"2026-11-22 10:00:00 timed", b"level=info msg=x ts=1", b"plain words",
        b"<13>Nov 22 10:00:00 h a: b", b"-----BEGIN RSA PRIVATE KEY-----", b"MIIB", b"-----END RSA PRIVATE KEY-----", b"\0\0\0", b"\0{}", b"\xff\r",
        b'{"log":"out\\n","stream":"stdout","time":"2026-11-22T10:00:00.1Z"}', b'{"log":"half","stream":"stdout","time":"2026-11-22T10:00:00.1Z"}',
        b'{"log":"Traceback (most recent call last):\\n","stream":"stderr","time":"2026-11-22T10:00:00.1Z"}',
        b"[rank0]: Traceback (most recent call last):", b'[rank0]:   File "a.py", line 1, in f', b"[rank0]: ValueError: no", b"[rank1]: step",
        b"[rank1]: Traceback (most recent call last):", b'[rank1]:   File "a.py", line 1, in f', b"[rank1]: KeyError: 1", b"[rank0]: ",
        b"Nov 22 10:00:01 h a[1]: Traceback (most recent call last):", b'Nov 22 10:00:02 h a[1]:   File "a.py", line 1, in f',
        b"Nov 22 10:00:02 h a[1]: KeyError: 2", b"Nov 22 10:00:02 h b: 2026-11-22 10:00:00,123 - a - ERROR - text", b"<13>bare",
        b"10:00:01 job Traceback (most recent call last):", b'10:00:02 job   File "a.py", line 1, in f', b"10:00:02 job KeyError: 3",
        b"2026-11-22T10:00:00.5Z Traceback (most recent call last):", b'2026-11-22T10:00:00.6Z   File "a.py", line 1, in f',
        b"2026-11-22T10:00:00.7Z ValueError: 4", b'2026-11-22T10:00:00.8Z {"event":"t"}', b"{", b'  "event": "p"', b"}",
        b"\xe2\x95\xad\xe2\x94\x80 Traceback (most recent call last) \xe2\x94\x80\xe2\x95\xae", b"Exception in thread T-1 (f):",
        b'192.0.2.7 - - [22/Nov/2026 10:00:05] "GET / HTTP/1.1" 200 -', b'{"event":"one"} {"event":"two"}',
        b"#Fields: date time c-ip", b"2026-11-22 10:00:00 192.0.2.7", b"panic: shelf is empty", b"goroutine 1 [running]:", b"main.main()", b"\t/a.go:7 +0x1",
        b"thread 'main' panicked at a.rs:4:5:", b"note: run with", b"PHP Fatal error:  Uncaught E in /a.php:1", b"#0 {main}", b"error: no", b"/a.js:3",
        b"Nov 22, 2026 10:00:00 AM shop.Shelf take", b"WARNING: low", b"\x1b[31m 1/9 [=>...]\r9/9 [===]",
        b"2026-11-22T10:00:00.1Z stdout P half ", b"2026-11-22T10:00:00.1Z stdout F whole", b"2026-11-22T10:00:00.1Z stderr F   indented",
    ]
)  # fmt: skip
LINES = st.lists(FRAGMENTS | st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=25)


def placed(lines: list[bytes]) -> list[tuple[int, bytes]]:
    """Lines with the offsets they have in a file."""
    offset, result = 0, []
    for line in lines:
        result.append((offset, line))
        offset += len(line) + 1
    return result


def read(parser: Parser, *chunks: list[tuple[int, bytes]]) -> tuple[list[LogRecord], Counter[str]]:
    """All records of the chunks, and what was counted."""
    records, drops = [], Counter()
    for chunk in chunks:
        more, counted = parser.parse_chunk(chunk, ORIGIN, NOW)
        records += more
        drops += Counter(counted)
    records += parser.flush(NOW)
    return in_order(records), drops + Counter(parser.take_drops())


def in_order(records: list[LogRecord]) -> list[LogRecord]:
    """As they begin in the file: what one writer has open delays no other's records."""
    return sorted(records, key=lambda record: record.offset)


@given(LINES, st.integers(0, 25))
def test_where_a_chunk_ends_cannot_be_seen(lines, cut):
    """Two chunks give the same records and counts as one."""
    whole = placed(lines)

    assert read(Parser(), whole) == read(Parser(), whole[:cut], whole[cut:])


@given(LINES, st.integers(1, 25))
def test_a_restart_repeats_and_loses_nothing(lines, cut):
    """From the open offset on, with the state, a new parser returns exactly what the first had not returned yet."""
    whole = placed(lines)
    first = Parser()
    before, counted = first.parse_chunk(whole[:cut], ORIGIN, NOW)
    at = first.open_offset()
    start = at if at is not None else (whole[cut][0] if cut < len(whole) else 1 << 60)
    after, counted_after = read(Parser.from_state(first.state()), [line for line in whole if line[0] >= start])

    everything, all_counted = read(Parser(), whole)
    assert [(one.offset, one.body) for one in in_order([*before, *after])] == [(one.offset, one.body) for one in everything]
    assert Counter(counted) + Counter(counted_after) == all_counted


@given(LINES, st.lists(st.integers(1, 25), max_size=3))
def test_several_restarts_repeat_and_lose_nothing(lines, cuts):
    """Also where one comes before the lines were read again that the one before had left open."""
    whole = placed(lines)
    parser, returned, counts, at = Parser(), [], Counter(), 0
    for cut, last in [*[(cut, False) for cut in sorted(cuts)], (len(lines), True)]:
        chunk = [line for line in whole[:cut] if line[0] >= at]
        records, counted = parser.parse_chunk(chunk, ORIGIN, NOW)
        returned += records
        counts += Counter(counted)
        limit = parser.open_offset()
        at = limit if limit is not None else (whole[cut][0] if cut < len(whole) else 1 << 60)
        if not last:
            parser = Parser.from_state(parser.state())
    returned += parser.flush(NOW)

    everything, all_counted = read(Parser(), whole)
    assert [(one.offset, one.body) for one in in_order(returned)] == [(one.offset, one.body) for one in everything]
    assert counts + Counter(parser.take_drops()) == all_counted


WRITTEN = st.builds(
    lambda writer, body: (writer, body),
    st.sampled_from(["", "[rank0]: ", "[rank11]: ", "web-1  | ", "10:00:01 job.1 | ", "Nov 22 10:00:01 h app[7]: ", "Nov 22 10:00:02 h app[8]: "]),
    st.sampled_from(
        [
            "Traceback (most recent call last):", '  File "a.py", line #, in f', "    g(#)", "ValueError: #", "word#", "  indented#", "}#", "",
            "2026-11-22 10:00:00,123 - a - ERROR - text#", "Exception in thread T-# (f):", '192.0.2.# - - [22/Nov/2026 10:00:05] "GET /# HTTP/1.1" 200 -',
            "During handling of the above exception, another exception occurred:", "[SQL: #", "│ box#", "   ^^^#", "level=info msg=# n=1",
            "panic: #", "goroutine # [running]:", "main.main(#)", "Nov 22, 2026 10:00:00 AM shop.Shelf#", "WARNING: #", "error: #", "/a#.js:3",
        ]
    ),
)  # fmt: skip
"""Lines with the prefix of a writer; `#` is a number that no other line has."""


@settings(max_examples=400)
@given(st.lists(WRITTEN, max_size=40), st.integers(0, 40))
def test_every_line_is_in_one_record_with_others_of_its_writer(written, cut):
    """Whatever is joined, torn apart, held back or given up: each line's number comes out once, in order in each text, with no other writer's."""
    lines = [(writer + body).replace("#", f"{number:06d}").encode() for number, (writer, body) in enumerate(written)]
    parser, whole = Parser(), placed(lines)
    records = [
        *parser.parse_chunk(whole[:cut], ORIGIN, NOW)[0],
        *parser.expire(NOW, 1.0, 0.0),
        *parser.parse_chunk(whole[cut:], ORIGIN, NOW)[0],
    ]
    records += parser.flush(NOW)
    found = [set().union(*_numbers(record)) for record in records]

    assert sorted(number for numbers in found for number in numbers) == [
        f"{number:06d}" for number, (_, body) in enumerate(written) if "#" in body
    ]
    assert all(numbers == sorted(numbers) for record in records for numbers in _numbers(record))
    assert all(len({written[int(number)][0] for number in numbers}) <= 1 for numbers in found)


def _numbers(record: LogRecord) -> list[list[str]]:
    """The numbers in each of a record's texts: its body, which may be the last line of its traceback, the traceback, the attributes."""
    return [list(dict.fromkeys(re.findall(r"\d{6}", str(text)))) for text in (record.body, *record.attributes.values())]


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=12), st.sampled_from(["auto", "json", "logfmt", "syslog", "python", "timed", "plain", "docker", "cri"]))  # fmt: skip
@example([b"{" * 10_000], "json")
@example([b'{"a":' + b"[" * 10_000], "auto")
@example([b'{"a":' + b"9" * 10_000 + b"}"], "auto")
@example([b'{"text":"","record":{"message":"m","level":{}}}'], "auto")
def test_no_bytes_raise_or_vanish(lines, name):
    """Every line with anything in it is in some record, whatever it is taken for."""
    records, _ = read(Parser(name), placed(lines))

    assert [record.offset for record in records] == sorted(record.offset for record in records)
    assert bool(records) == any(line.strip(b"\0").removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf").strip() for line in lines)


def written(fields: dict[str, object], name: str, before: bytes | None) -> bytes:
    """An object as a line; the value of a name may come `before` another one of that name."""
    text = json.dumps(fields).encode()
    return text if before is None else b"{" + json.dumps(name).encode() + b":" + before + b"," + text[1:]


@settings(max_examples=400)
@given(TABLES | st.lists(OBJECTS, min_size=1, max_size=6), NAMES, BEFORE)
@example([{"timestamp": "2026-11-22T10:00:00.123456Z", "level": "info", "event": "e", "a": 1}], "a", NESTED)
def test_the_fast_reader_equals_its_reference(objects, name, before):
    """The chunk reader reads lines as the line parser reads each of them."""
    lines = placed([written(fields, name, before) for fields in objects])
    fast: list[LogRecord] = []
    index = 0
    while index < len(lines):
        block = json_columns.JsonReader(ORIGIN, NOW).read(lines[index:])
        assert [block[at] for at in range(len(block))] == list(block)
        assert repr(json_columns.JsonReader(ORIGIN, NOW).rows(lines[index:])) == repr(list(block))
        fast += block
        index += len(block) + 1
    by_offset = {record.offset: record for record in fast}
    for offset, line in lines:
        parsed = parse(line, NOW)
        if offset in by_offset:
            record = by_offset[offset]
            expected = (
                parsed.time_ns,
                parsed.severity,
                parsed.severity_text,
                parsed.body,
                parsed.trace_id,
                parsed.span_id,
                parsed.trace_flags,
            )
            assert (
                record.time_ns,
                record.severity,
                record.severity_text,
                record.body,
                record.trace_id,
                record.span_id,
                record.trace_flags,
            ) == expected
            assert list(record.attributes.items()) == list(parsed.attributes.items())
            assert repr(record.attributes) == repr(parsed.attributes)
            assert parsed.reasons == ()


@settings(max_examples=400)
@given(TABLES | st.lists(OBJECTS, min_size=1, max_size=8), st.booleans())
def test_a_block_encoded_at_once_says_what_its_records_say(objects, wrapped_up):
    """The bytes made column by column tell the same, in the same order, as the encoder makes of the records one by one."""
    origin = Origin("f", {"log.file.name": "a.log", "symbol": "the file's own"})
    more = {"log.iostream": "stderr"} if wrapped_up else None
    lines = placed([json.dumps(fields).encode() for fields in objects])
    index = 0
    while index < len(lines):
        block = json_columns.JsonReader(origin, NOW, more).read(lines[index:])
        encoder = LogEncoder({})
        assert repr(list(decode_logs(encoder.encode(Records(block))))) == repr(list(decode_logs(encoder.encode(list(block)))))
        assert list(block.severities) == [record.severity for record in block]
        index += len(block) + 1


def wrapped(lines: list[bytes], form: str) -> list[bytes]:
    """The lines as a container's runtime puts them down, alternating between the streams now and then."""
    made = []
    for number, line in enumerate(lines):
        stream = "stderr" if number % 7 == 3 else "stdout"
        if form == "cri":
            made.append(f"2026-11-22T10:00:00.{number:09d}Z {stream} F ".encode() + line)
        else:
            fields = {"log": line.decode() + "\n", "stream": stream, "time": f"2026-11-22T10:00:00.{number:09d}Z"}
            made.append(json.dumps(fields, separators=(",", ":")).encode())
    return made


@settings(max_examples=200)
@given(st.lists(OBJECTS | st.just({"event": "no time"}), max_size=12), st.sampled_from(["cri", "docker"]), st.integers(0, 12))
@example([{"timestamp": -1.797693134862316e302, "level": "info", "event": "e"}], "cri", 0)
def test_the_fast_reader_of_containers_equals_its_reference(objects, form, at):
    """With a reader that finds no line simple, the same records come out."""
    inner = [json.dumps(fields).encode() for fields in objects]
    lines = placed(wrapped([b'{"event":"e","level":"info","timestamp":"2026-11-22T10:00:00Z"}', *inner[:at], b"plain", *inner[at:]], form))
    fast = read(Parser(), lines)
    patient = Parser()
    patient._writers.json_run = lambda _lines, _start: ("", [])

    slow = read(patient, lines)

    def shown(record: LogRecord) -> str:
        return repr((record._replace(attributes={}), sorted(record.attributes.items())))

    assert [shown(record) for record in fast[0]] == [shown(record) for record in slow[0]]
    assert fast[1] == slow[1]


@given(st.lists(FRAGMENTS, max_size=25), st.integers(0, 25))
def test_the_text_holds_all_that_the_records_say(lines, cut):
    """The bytes given for the redactor's search hold every word of every record returned with them."""
    parser, whole = Parser(), placed(lines)
    for chunk in (whole[:cut], whole[cut:]):
        records, _ = parser.parse_chunk(chunk, ORIGIN, NOW)
        if parser.text is None:
            continue
        for record in records:
            for word in str(record.body or "").split() + str(record.attributes.get("exception.stacktrace", "")).split():
                assert "\\" in word or word.encode() in parser.text or json.dumps(word)[1:-1].encode() in parser.text
