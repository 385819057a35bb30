"""The file exporter: OTLP JSON lines, whole, on the disk, and bounded."""

from __future__ import annotations

import errno
import json
import os

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.encode.otlp_logs import LogEncoder
from agent.errors import RetryableError
from agent.exporters import file
from agent.exporters.file import File, FileConfig, whole_lines
from agent.record import LogRecord, Origin, Severity, Signal
from agent.testing.context import make_context
from agent.testing.exporters import make_row

TRACE = bytes(range(16))
SPAN = bytes(range(8))


def row(body="hello", seq=1):
    """A stored row with one log record."""
    record = LogRecord(1_700_000_000_000_000_001, 2, Severity.INFO, "info", body, {"n": 2**53 + 1}, Origin("o"), 0, TRACE, SPAN)
    return make_row(LogEncoder({"service.name": "shop"}).encode([record]), seq=seq)


def make(directory, **options) -> File:
    """The exporter."""
    return File(FileConfig(directory=directory, **options), make_context())


def read(path) -> list[dict]:
    """The lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_otlp_json(tmp_path):
    """A line is OTLP JSON: hexadecimal ids, 64-bit numbers as text, numbers for enumerations, camelCase names."""
    exporter = make(tmp_path / "out")
    await exporter.export(row())
    await exporter.close()
    (line,) = read(tmp_path / "out/logs.jsonl")
    (record,) = line["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert (record["traceId"], record["spanId"], record["severityNumber"]) == (TRACE.hex(), SPAN.hex(), 9)
    assert (record["timeUnixNano"], record["body"]) == ("1700000000000000001", {"stringValue": "hello"})
    assert record["attributes"] == [{"key": "n", "value": {"intValue": str(2**53 + 1)}}]


async def test_a_file_for_each_kind(tmp_path):
    """Logs and traces go to files of their own, readable by us alone."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=TRACE, span_id=SPAN, parent_span_id=SPAN, name="s")
    exporter = make(tmp_path)
    await exporter.export(row())
    await exporter.export(make_row(request.SerializeToString(), signal=Signal.TRACES))
    await exporter.close()
    (line,) = read(tmp_path / "traces.jsonl")
    assert line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["parentSpanId"] == SPAN.hex()
    assert (tmp_path / "logs.jsonl").stat().st_mode & 0o777 == 0o600


async def test_rotation(tmp_path):
    """A file that would outgrow its size is moved on; so many are kept, and none of them ends within a line."""
    exporter = make(tmp_path, max_size="64KiB", max_files=3, fsync=False)
    for number in range(20):
        await exporter.export(row(f"{number:02}" + "x" * 20_000, seq=number))
    await exporter.close()
    kept = [tmp_path / name for name in ("logs.jsonl.2", "logs.jsonl.1", "logs.jsonl")]
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    bodies = [line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"]["stringValue"][:2] for path in kept for line in read(path)]
    assert bodies == [f"{number:02}" for number in range(20 - len(bodies), 20)]
    assert all(path.stat().st_size <= 65536 for path in kept)


async def test_a_row_larger_than_a_file_is_written_whole(tmp_path):
    """A single line beyond the size has a file of its own."""
    exporter = make(tmp_path, max_size="64KiB")
    await exporter.export(row("x" * 100_000))
    await exporter.export(row("y"))
    await exporter.close()
    assert (len(read(tmp_path / "logs.jsonl.1")), len(read(tmp_path / "logs.jsonl"))) == (1, 1)


@pytest.mark.parametrize("torn", [b"", b'{"half', b"x" * 200_000])
async def test_a_torn_line_is_taken_away(tmp_path, torn):
    """The part of a line that a crash left after the last line end is gone before the next line; whole lines stay."""
    (tmp_path / "logs.jsonl").write_bytes(b'{"whole": 1}\n' + torn)
    exporter = make(tmp_path)
    await exporter.export(row())
    await exporter.close()
    first, second = read(tmp_path / "logs.jsonl")
    assert first == {"whole": 1}
    assert "resourceLogs" in second


async def test_a_full_disk_keeps_the_row(tmp_path, monkeypatch):
    """When the disk is full the row is kept, and the half of it that was written is taken away before the next."""
    real = os.write
    calls = iter([10, None])

    def short_then_full(fd, data):
        size = next(calls, len(data))
        if size is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, bytes(data[:size]))

    exporter = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(file.os, "write", short_then_full)
        with pytest.raises(RetryableError, match="No space left"):
            await exporter.export(row())
    assert (tmp_path / "logs.jsonl").stat().st_size == 10
    await exporter.export(row())
    await exporter.close()
    assert len(read(tmp_path / "logs.jsonl")) == 1


async def test_a_link_is_not_followed(tmp_path):
    """A symbolic link in place of the file is refused, and the row kept."""
    (tmp_path / "logs.jsonl").symlink_to(tmp_path / "elsewhere")
    exporter = make(tmp_path)
    with pytest.raises(RetryableError, match="can't write in"):
        await exporter.export(row())
    await exporter.close()
    assert not (tmp_path / "elsewhere").exists()


def test_whole_lines_across_blocks(tmp_path):
    """The last line end is found wherever it stands relative to the blocks that are read."""
    for head in (0, 1, 65535, 65536, 65537, 200_000):
        path = tmp_path / str(head)
        path.write_bytes(b"a" * head + b"\n" + b"b" * 70_000)
        fd = os.open(path, os.O_RDONLY)
        assert whole_lines(fd) == head + 1
        os.close(fd)


def test_a_directory_that_cannot_be_written(tmp_path):
    """A file in the way is a complaint of the check; a directory that can be created is fine."""
    (tmp_path / "file").touch()
    assert File(FileConfig(directory=tmp_path / "new"), None).doubts() == []
    (doubt,) = File(FileConfig(directory=tmp_path / "file" / "out"), None).doubts()
    assert doubt.startswith(f"{tmp_path}/file is not a directory: ")
