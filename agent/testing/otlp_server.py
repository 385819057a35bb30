"""A little OTLP/HTTP server: keeps what it is sent, answers at once, misbehaves to order. Counting and decoding come afterwards.

As a process: `python -m agent.testing.otlp_server --port 0 --store FILE [--plan 'ok:50,503:5,429:3,hang:1'] [--limit BYTES]`; it prints its
port in the first line. A request is stored, in one write, before it is answered: what is in FILE is what the server accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.testing.http_faults import HANG, RESET, FaultServer, Received, Reply, answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

PROTOBUF: Final = {"Content-Type": "application/x-protobuf"}
_FRAME: Final = struct.Struct(">HBI")
"""Before each stored request: length of the path, whether it is gzip'd, length of the body."""
_SERVICES: Final = {"logs": "Logs", "metrics": "Metrics", "traces": "Trace"}

ACCEPT: Final = answer(200, b"", PROTOBUF)
PARTIAL: Final = Reply()
"""In a plan: take the request, but refuse one of its records."""
SLOW: Final = answer(200, b"", PROTOBUF, delay=0.2)
"""In a plan: take the request, and say so late."""


def partial_success(rejected: int, message: str = "") -> Reply:
    """A 200 that says how many records were refused."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse  # noqa: PLC0415 - not for the bare process

    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = rejected
    response.partial_success.error_message = message
    return answer(200, response.SerializeToString(), PROTOBUF)


class Stored(NamedTuple):
    """A request that was accepted."""

    path: str
    packed: bool
    body: bytes
    """As it was on the wire."""

    def unpacked(self) -> bytes:
        """The serialized `Export*ServiceRequest`."""
        return zlib.decompress(self.body, wbits=31) if self.packed else self.body

    def decode(self) -> Message:
        """The request itself."""
        return decode(self.path, self.unpacked())


class OtlpServer(FaultServer):
    """Takes the script first; then accepts everything within `limit` (bytes after decompression; larger ones get a 413)."""

    def __init__(
        self, *script: Reply, limit: int | None = None, store: Path | None = None, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        super().__init__(*script, tls=tls, port=port)
        self.accepted: list[Stored] = []
        """In order; empty if they go to a file."""
        self.limit = limit
        self.plan: Iterator[Reply | None] = itertools.repeat(None)
        """A reply instead of taking the request, or None to take it; one per request."""
        self._file = os.open(store, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if store else None

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def choose(self, request: Received) -> Reply:
        """Take a request, unless the plan or the limit is against it."""
        instead = next(self.plan)
        if instead not in (None, PARTIAL, SLOW):
            self.log.requests.clear()  # a long run must not keep what it does not need
            return instead
        stored = Stored(request.path, request.headers.get("content-encoding") == "gzip", request.body)
        if self.limit is not None and len(stored.unpacked()) > self.limit:
            return answer(413, b"", PROTOBUF)
        self._keep(stored)
        if instead is PARTIAL:
            return partial_success(1, "one record was refused")
        return ACCEPT if instead is None else SLOW

    def _keep(self, stored: Stored) -> None:
        if self._file is None:
            self.accepted.append(stored)
            return
        path = stored.path.encode()
        os.write(self._file, _FRAME.pack(len(path), stored.packed, len(stored.body)) + path + stored.body)
        self.log.requests.clear()


def read_store(file: Path) -> Iterator[Stored]:
    """Read back what a server process stored; a frame cut off at the end (it was killed) is left out."""
    data, at = file.read_bytes(), 0
    while at + _FRAME.size <= len(data):
        path_size, packed, body_size = _FRAME.unpack_from(data, at)
        start = at + _FRAME.size + path_size
        at = start + body_size
        if at > len(data):
            return
        yield Stored(data[start - path_size : start].decode(), bool(packed), data[start:at])


def decode(path: str, body: bytes) -> Message:
    """Parse a serialized request by the last part of the URL's path (`logs`, `metrics`, `traces`)."""
    import importlib  # noqa: PLC0415 - not for the bare process

    name = path.rpartition("/")[2]
    service = "trace" if name == "traces" else name
    module = importlib.import_module(f"opentelemetry.proto.collector.{service}.v1.{service}_service_pb2")
    request: Message = getattr(module, f"Export{_SERVICES[name]}ServiceRequest").FromString(body)
    return request


def repeats(stored: Iterable[Stored]) -> int:
    """How many requests came again, byte by byte."""
    return sum(count - 1 for count in Counter((one.path, one.body) for one in stored).values())


def parse_plan(text: str) -> Iterator[Reply | None]:
    """Read `ok:50,503:5,partial:1,slow:2,hang:1` (what, how often), to be repeated for ever."""
    replies = {"ok": None, "hang": HANG, "reset": RESET, "partial": PARTIAL, "slow": SLOW}
    steps = [step.strip().partition(":") for step in text.split(",")]
    cycle = [
        replies[what] if what in replies else answer(int(what), b"", PROTOBUF) for what, _, times in steps for _ in range(int(times or 1))
    ]
    return itertools.cycle(cycle)


async def _serve(options: argparse.Namespace) -> None:
    server = OtlpServer(store=options.store, limit=options.limit, port=options.port)
    if options.plan:
        server.plan = parse_plan(options.plan)
    async with server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--plan", default="", help="what to do with the requests in turn, as in ok:50,503:5,429:3,hang:1,reset:1")
    parser.add_argument("--limit", type=int, default=None, help="bytes after decompression; more is a 413")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
