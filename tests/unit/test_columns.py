"""Blocks of records, and records of which some are in blocks: to a reader they are sequences like others."""

from __future__ import annotations

import json

import orjson
import pytest

from agent.columns import Block, Columns, Records, first_origin, unusual
from agent.encode.any_value import ENTRIES
from agent.encode.otlp_columns import ColumnEncoder
from agent.issues.reading.rules import Rules
from agent.parse.json_columns import JsonReader as Reader
from agent.parse.json_lines import parse
from agent.parse.lines import Parser
from agent.record import LogRecord, Origin

ORIGIN = Origin("f")
LEVELS = ("info", "error", "debug", "unheard-of", "critical")


def lines(count: int) -> list[tuple[int, bytes]]:
    """Ordinary lines with their offsets."""
    return [
        (n, json.dumps({"timestamp": "2026-11-22T10:00:00Z", "level": LEVELS[n % 5], "event": "e", "n": n}).encode()) for n in range(count)
    ]


def mixed() -> Records:
    """A block, a line that is none, and another block."""
    placed = lines(10)
    parser, reader = Parser("plain"), Reader(ORIGIN, 7)
    parser.parse_chunk([(4, b"plain")], ORIGIN, 7)
    return Records(reader.read(placed[:4])) + parser.flush(7) + reader.read(placed[5:])


def test_a_block_makes_only_what_is_asked_for():
    """One record by its place equals the one that all together would be."""
    block = Reader(ORIGIN, 7).read(lines(6))
    some, one = block[2:4], block[-1]

    assert block._made is None
    assert [*some, one] == [list(block)[place] for place in (2, 3, 5)]
    assert len(block.severities) == len(block) == 6


@pytest.mark.parametrize(
    "cut", [slice(None), slice(2, 7), slice(-3, None), slice(0, 0), slice(4, 5), slice(20, 30), slice(None, None, 3), slice(8, 1, -2)]
)
def test_records_are_cut_like_a_list(cut):
    """Whatever lies in blocks."""
    records = mixed()

    assert sum(isinstance(segment, Block) for segment in records.segments) == 2
    assert list(records[cut]) == list(records)[cut]


def test_records_grow_and_compare_like_a_list():
    """Adding keeps the order; two are equal if their records are; the added-to one shares nothing."""
    records, plain = mixed(), list(mixed())
    extra = plain[0]
    longer = records + Records([extra])
    records.append(extra)

    assert records == longer == [*plain, extra]
    assert len(records) == 11
    assert records[-1] == extra
    longer.replace_last(plain[1])
    assert (longer[-1], records[-1]) == (plain[1], extra)
    with pytest.raises(IndexError):
        records[11]
    assert not Records()


def test_errors_are_found_in_a_block_as_in_a_list():
    """Only records of a block that may be errors are made: by their level, or because it has none."""
    records, rules = mixed(), Rules()
    found = rules.find(records)
    assert found == [(place, record) for place, record in enumerate(list(records)) if rules.matches(record)]
    assert [place for place, _ in found] == [1, 6, 9]
    assert all(isinstance(record, LogRecord) for _, record in found)
    assert len(list(unusual(records, bytes(range(1, rules.level))))) < len(records)


@pytest.mark.parametrize("usual", [b"", bytes(range(17)), bytes(range(1, 17)), bytes(range(25))])
def test_of_a_block_only_unusual_severities_are_looked_at(usual):
    """All records that lie in no block, and of blocks those whose severity is none of the usual; with their places."""
    records = mixed()
    found = list(unusual(records, usual))
    unmade = [segment._made is None for segment in records.segments if isinstance(segment, Block)]

    assert found == [(place, one) for place, one in enumerate(list(records)) if place == 4 or one.severity not in usual]
    assert unmade == [bool(usual)] * 2
    assert list(unusual(records, usual)) == found
    assert [first_origin(records), first_origin(records[4:])] == [ORIGIN, ORIGIN]


def ordinary(**fields: object) -> bytes:
    """A line with a time, a level and a body."""
    return json.dumps({"timestamp": "2026-11-22T10:00:00.123456Z", "level": "info", "event": "e", **fields}).encode()


@pytest.mark.parametrize(
    "values",
    [
        ({"note": "card 12345678901234567890", "took": 1}, {"note": "a", "took": 1.5}),
        ({"note": "card 12345678901234567890"}, {"note": [1]}),
        ({"note": "{[" * 40}, {"note": {"a": None}}),
        ({"note": "a", "took": 1e19}, {"note": " 12345678901234567890", "took": 1e3}),
    ],
)
def test_a_line_is_ordinary_whatever_stands_beside_it(values):
    """A text that looks like a long number or like deep nesting is neither, also where another line has a real number or nesting there."""
    placed = list(enumerate(ordinary(**fields) for fields in values))
    block = Reader(ORIGIN, 7).read(placed)

    assert [record.attributes for record in block] == list(values)
    assert [block[0], block[1]] == list(block)


def test_times_of_other_lengths_that_add_up_are_not_mistaken():
    """Two texts that are together as long as two times: they are not times, and nothing raises."""
    time = "2026-11-22T10:00:00.123456Z"
    placed = list(enumerate(ordinary(timestamp=text) for text in (time, time * 2, "")))

    assert len(Reader(ORIGIN, 7).read(placed)) == 1


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**19, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])
def test_an_integer_is_the_same_whoever_reads_it(number):
    """Line by line or many at a time; beyond 64 bits a line is not ordinary."""
    line = ordinary(n=number)
    parsed = parse(line, 7)
    read = list(Reader(ORIGIN, 7).read([(0, line)]))

    assert parsed is not None
    assert parsed.attributes == {"n": number if -(2**63) <= number < 2**64 else str(number)}
    assert [record.attributes for record in read] in ([parsed.attributes], [])


def test_blocks_are_made_where_they_save_work():
    """Of long runs of lines with few sets of names; elsewhere it is records, and they are the same."""
    alike = list(enumerate(ordinary(n=n) for n in range(256)))
    scattered = list(enumerate(ordinary(**{f"n{n}": n}) for n in range(256)))
    reader = Reader(ORIGIN, 7)

    assert isinstance(reader.take(alike), Block)
    assert isinstance(reader.take(scattered), list)
    assert reader.take(scattered) == list(reader.read(scattered))


def test_among_other_lines_little_is_read_ahead_in_vain(monkeypatch):
    """Where every third line is odd, hardly more lines are looked at than there are."""
    looked_at = 0
    loads = orjson.loads

    def counted(line: bytes) -> object:
        nonlocal looked_at
        looked_at += 1
        return loads(line)

    placed = list(enumerate(b"{}" if n % 3 == 0 else ordinary(n=n) for n in range(900)))
    parser = Parser("json")
    monkeypatch.setattr(orjson, "loads", counted)
    records, _ = parser.parse_chunk(placed, ORIGIN, 7)

    assert [record.offset for record in records] == list(range(900))
    assert looked_at < 2 * len(placed)


def test_what_the_encoder_remembers_is_bounded():
    """Hundreds of names, each with texts of hundreds of lengths, do not pile up: the cache begins again, and the result is the same."""
    encoder = ColumnEncoder()
    texts = ["x" * size for size in range(200)]
    names = [f"name{n}" for n in range(100)]

    def encoded(name: str) -> bytes:
        times, levels = [1] * len(texts), [(9, "info")] * len(texts)
        return encoder.encode([Columns(range(200), times, levels, texts, (name,), [texts], [{str}])], 200, ORIGIN, 7)

    first = encoded(names[0])
    for name in names:
        encoded(name)

    assert encoder.remembered <= ENTRIES + len(texts)
    assert encoded(names[0]) == first
