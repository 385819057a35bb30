"""Blocks of records, and records of which some are in blocks: to whoever looks, sequences like others."""

from __future__ import annotations

import json

import pytest

from agent.columns import Block, Records
from agent.parse.json_columns import Reader
from agent.parse.json_lines import parse
from agent.parse.lines import Parser
from agent.record import LogRecord, Origin
from agent.verdict.errors import Rules

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
    records, _ = Parser("json").parse_chunk([*placed[:4], (4, b"plain"), *placed[5:]], ORIGIN, 7)
    return records + Parser().flush(7)


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
    """Of a block only those are looked at that may be errors: by their level, or because it says nothing."""
    records, rules = mixed(), Rules()
    found = [(place, record) for place, record in rules.among(records) if rules.concerns(record)]

    assert found == [(place, record) for place, record in enumerate(list(records)) if rules.concerns(record)]
    assert [place for place, _ in found] == [1, 6, 9]
    assert all(isinstance(record, LogRecord) for _, record in found)
    assert len(list(rules.among(records))) < len(records)


def ordinary(**fields: object) -> bytes:
    """A line that tells of a time, a level and a body."""
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
    """Two texts that are together as long as two times: they are no times, and nothing raises."""
    time = "2026-11-22T10:00:00.123456Z"
    placed = list(enumerate(ordinary(timestamp=text) for text in (time, time * 2, "")))

    assert len(Reader(ORIGIN, 7).read(placed)) == 1


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**19, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])
def test_an_integer_is_the_same_whoever_reads_it(number):
    """Line by line or many at a time; beyond 64 bits it is no ordinary line."""
    line = ordinary(n=number)
    parsed = parse(line, 7)
    read = list(Reader(ORIGIN, 7).read([(0, line)]))

    assert parsed is not None
    assert parsed.attributes == {"n": number if -(2**63) <= number < 2**64 else str(number)}
    assert [record.attributes for record in read] in ([parsed.attributes], [])
