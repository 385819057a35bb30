"""Blocks of records, and records of which some are in blocks: to whoever looks, sequences like others."""

from __future__ import annotations

import json

import pytest

from agent.columns import Block, Records
from agent.parse.json_columns import Reader
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
