"""Writes rows to files in OTLP's JSON encoding, one line per row: `logs.jsonl`, `metrics.jsonl`, `traces.jsonl` in one directory.

As the OpenTelemetry file exporter specification has it (protocol/file-exporter.md): one kind of data per file. A row counts as delivered
once it is on the disk. A line that a crash or a full disk left half written is taken away before the next one; its row is written again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import zlib
from typing import TYPE_CHECKING, ClassVar, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from pydantic import Field

from agent.component import Accepted, ComponentConfig, Context
from agent.errors import RetryableError
from agent.options import FilePath, Size  # noqa: TC001 - pydantic reads them
from agent.record import Row, Signal
from agent.writable import why_not_writable

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

TYPES: Final[dict[Signal, type[Message]]] = {Signal.LOGS: LogsData, Signal.METRICS: MetricsData, Signal.TRACES: TracesData}
"""The wire format of each is that of its `Export*ServiceRequest`: one repeated field, number 1."""
IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


class FileConfig(ComponentConfig):
    """Options of the `file` exporter."""

    directory: FilePath
    """Where the files are; made if it is missing."""
    max_size: Size = Field(default=100 << 20, ge=1 << 16)
    """A file that would grow beyond this is renamed to `….1`, that one to `….2`, and so on."""
    max_files: int = Field(default=5, ge=1, le=1000)
    """How many files of each kind are kept, the current one included; the oldest is deleted."""
    fsync: bool = True
    """Wait until the disk has it."""


class File:
    """The exporter; one open file per kind."""

    Config: ClassVar[type[ComponentConfig]] = FileConfig
    signals: frozenset[Signal] = frozenset(TYPES)

    def __init__(self, config: FileConfig, context: Context) -> None:  # noqa: ARG002 - the contract
        self._config = config
        self._files: dict[Signal, int] = {}

    def doubts(self) -> list[str]:
        """Why the directory can't be written now."""
        why = why_not_writable(self._config.directory)
        return [f"{why}; or name another directory"] if why else []

    async def export(self, row: Row) -> Accepted:
        """Append one line."""
        try:
            fd = self._append(row.signal, line(row))
            if self._config.fsync:
                await asyncio.to_thread(_sync, os.dup(fd))
        except OSError as error:
            self._forget(row.signal)
            raise RetryableError(f"can't write in {self._config.directory}: {error.strerror}") from error
        return Accepted()

    async def close(self) -> None:
        """Close the files."""
        for signal in list(self._files):
            self._forget(signal)

    def _append(self, signal: Signal, data: bytes) -> int:
        path = self._config.directory / f"{signal.value}.jsonl"
        fd = self._opened(signal, path)
        size = os.fstat(fd).st_size
        if size and size + len(data) > self._config.max_size:
            self._forget(signal)
            rotate(path, self._config.max_files)
        return _write(self._opened(signal, path), data)

    def _opened(self, signal: Signal, path: Path) -> int:
        if signal in self._files:
            return self._files[signal]
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._files[signal] = fd
        os.ftruncate(fd, whole_lines(fd))  # what a crash left half written
        return fd

    def _forget(self, signal: Signal) -> None:
        fd = self._files.pop(signal, None)
        if fd is not None:
            os.close(fd)


def line(row: Row) -> bytes:
    """A row as one line of OTLP JSON (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding")."""
    message = TYPES[row.signal]()
    message.ParseFromString(zlib.decompress(row.body, wbits=31))
    return json.dumps(_with_hex(MessageToDict(message, use_integers_for_enums=True)), separators=(",", ":")).encode() + b"\n"


def _with_hex(value: object) -> object:
    """OTLP writes ids as hexadecimal, unlike protobuf's own JSON mapping, which has base64."""
    if isinstance(value, list):
        return [_with_hex(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in IDS and isinstance(item, str) else _with_hex(item) for key, item in value.items()
        }
    return value


def whole_lines(fd: int) -> int:
    """Length of the file without a last line that has no end."""
    size = os.fstat(fd).st_size
    while size:
        start = max(0, size - 65536)
        end = os.pread(fd, size - start, start).rfind(b"\n") + 1
        if end:
            return start + end
        size = start
    return 0


def rotate(path: Path, keep: int) -> None:
    """Make room for a new file: `….1` becomes `….2` and so on; the oldest is gone."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, keep))]
    names[-1].unlink(missing_ok=True)
    for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
        if newer.exists():
            newer.rename(older)


def _write(fd: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def _sync(fd: int) -> None:
    """Wait for the disk, on a descriptor of its own: a cancelled export may close the other one meanwhile."""
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
