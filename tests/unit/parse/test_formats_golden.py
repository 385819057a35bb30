"""Saved text of real writers, and what is read from it: `tests/golden/formats/NAME.log` beside `NAME.json`.

`python tests/unit/parse/test_formats_golden.py` writes the `.json` files again; read the difference before you commit it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from agent.parse.lines import Parser
from agent.record import LogRecord, Origin

GOLDEN = Path(__file__).parents[2] / "golden" / "formats"
NOW_NS = 1_795_348_800_000_000_000  # 2026-11-22T12:00:00Z
LOGS = sorted(GOLDEN.glob("*.log"))


def offsets(text: bytes) -> list[tuple[int, bytes]]:
    """The lines with their offsets, as a tailer gives them."""
    lines, offset = [], 0
    for line in text.removesuffix(b"\n").split(b"\n"):
        lines.append((offset, line))
        offset += len(line) + 1
    return lines


def shown(record: LogRecord) -> dict[str, object]:
    """A record as readable JSON, without what is empty."""
    fields = record._asdict()
    fields.pop("origin")
    fields.pop("observed_ns")
    fields["trace_id"], fields["span_id"] = record.trace_id.hex(), record.span_id.hex()
    kept = ("body", "offset")
    return {name: value for name, value in fields.items() if name in kept or value not in (0, "", {})}


def in_order(records: list[LogRecord]) -> list[LogRecord]:
    """The records as they begin in the file."""
    return sorted(records, key=lambda record: record.offset)


def read(text: bytes) -> dict[str, object]:
    """All that a file says, in its order (what one writer has open delays no other's records)."""
    parser = Parser()
    records, drops = parser.parse_chunk(offsets(text), Origin("f"), NOW_NS)
    records = in_order([*records, *parser.flush(NOW_NS)])
    counted = Counter(drops) + Counter(parser.take_drops())
    container, _, streams = json.loads(parser.state())
    state = {"container": container, "formats": {name: known[0] for name, known in streams}}
    return {"state": state, "drops": dict(sorted(counted.items())), "records": [shown(record) for record in records]}


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_a_file_is_read_as_saved(log):
    """The lines of a real writer are read into exactly the records beside them."""
    expected = json.loads(log.with_suffix(".json").read_text())

    assert read(log.read_bytes()) == expected


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_one_line_at_a_time_reads_the_same(log):
    """Where a chunk ends changes nothing in the records."""
    parser, records = Parser(), []
    for line in offsets(log.read_bytes()):
        records += parser.parse_chunk([line], Origin("f"), NOW_NS)[0]
    records += parser.flush(NOW_NS)

    assert [shown(record) for record in in_order(records)] == read(log.read_bytes())["records"]


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_every_restart_resumes_without_loss_or_repetition(log):
    """From the open offset and the state, after any line, another parser can continue: together they give each record once."""
    lines = offsets(log.read_bytes())
    whole = read(log.read_bytes())["records"]
    for cut in range(1, len(lines)):
        first = Parser()
        records, _ = first.parse_chunk(lines[:cut], Origin("f"), NOW_NS)
        resume = first.open_offset()
        second = Parser.from_state(first.state())
        records += second.parse_chunk(
            [line for line in lines if line[0] >= (lines[cut][0] if resume is None else resume)], Origin("f"), NOW_NS
        )[0]
        records += second.flush(NOW_NS)
        assert [(r.offset, r.body) for r in in_order(records)] == [(r["offset"], r["body"]) for r in whole], cut


if __name__ == "__main__":
    for path in LOGS:
        path.with_suffix(".json").write_text(json.dumps(read(path.read_bytes()), indent=1, ensure_ascii=True) + "\n")
