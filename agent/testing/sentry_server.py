"""A little Sentry: keeps the envelopes it is sent, knows an event it has seen, answers with rate limits and misbehaves to order.

As a process: `python -m agent.testing.sentry_server --port 0 --store FILE`; it prints its port in the first line, and FILE gets a line of JSON
for every item that was accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import re
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from agent.issues.envelope.format import Envelope, EnvelopeError, EnvelopeItem, decode
from agent.testing.http_faults import FaultServer, Received, Reply, answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.record import Value

JSON: Final = {"Content-Type": "application/json"}
_PATH: Final = re.compile(r"(?P<prefix>/.*)?/api/(?P<project>[^/]+)/envelope/")
_KEY: Final = re.compile(r"sentry_key=([^,\s]+)")


class Taken(NamedTuple):
    """An envelope that was accepted."""

    project: str
    key: str
    envelope: Envelope
    headers: Mapping[str, str]
    body: bytes
    """As it was on the wire."""


def limited(header: str, status: int = 429) -> Reply:
    """An answer with rate limits."""
    return answer(status, b"{}", {**JSON, "X-Sentry-Rate-Limits": header})


class SentryServer(FaultServer):
    """Takes the script first; then accepts every envelope of at most `limit` bytes (after decompression; larger ones get a 413)."""

    def __init__(self, *script: Reply, limit: int | None = None, port: int = 0, store: Path | None = None) -> None:
        super().__init__(*script, port=port)
        self.taken: list[Taken] = []
        self.repeated = 0
        """Events that came again."""
        self.limit = limit
        self._store = store

    def dsn(self, project: str = "1", prefix: str = "", key: str = "public") -> str:
        """A DSN that leads here."""
        return f"http://{key}@127.0.0.1:{self.port}{prefix}/{project}"

    def items(self, type_: str) -> list[EnvelopeItem]:
        """All accepted items of a type, in order; of repeated events only the first."""
        return [item for taken in self.taken for item in taken.envelope.items if item.type == type_]

    def events(self) -> list[dict[str, Value]]:
        """All accepted events."""
        return [item.json() for item in self.items("event")]

    def choose(self, request: Received) -> Reply:
        """Take an envelope."""
        path = _PATH.fullmatch(request.path)
        key = _KEY.search(request.headers.get("x-sentry-auth", ""))
        if path is None or key is None:
            return answer(404 if path is None else 401, b'{"detail":"no such project"}', JSON)
        raw = zlib.decompress(request.body, wbits=31) if request.headers.get("content-encoding") == "gzip" else request.body
        if self.limit is not None and len(raw) > self.limit:
            return answer(413, b'{"detail":"too large"}', JSON)
        try:
            envelope = decode(raw)
        except EnvelopeError as error:
            return answer(400, str(error).encode(), JSON)
        self._keep(Taken(path["project"], key[1], envelope, request.headers, request.body))
        return answer(200, b'{"id":"%s"}' % str(envelope.headers.get("event_id", "")).encode(), JSON)

    def _keep(self, taken: Taken) -> None:
        event_id = taken.envelope.headers.get("event_id")
        if event_id and any((one.project, one.envelope.headers.get("event_id")) == (taken.project, event_id) for one in self.taken):
            self.repeated += 1
            return
        self.taken.append(taken)
        if self._store is not None:
            with self._store.open("ab") as file:
                file.writelines(_lines(taken.project, taken.envelope))


def _lines(project: str, envelope: Envelope) -> Iterator[bytes]:
    for item in envelope.items:
        body = base64.b64encode(item.body).decode()
        yield orjson.dumps({"project": project, "header": envelope.headers, "type": item.type, "about": item.headers, "body": body}) + b"\n"


def read_store(file: Path) -> Iterator[tuple[str, bytes]]:
    """Type and payload of each item that a server process has stored."""
    for line in file.read_bytes().splitlines() if file.exists() else ():
        found = orjson.loads(line)
        yield found["type"], base64.b64decode(found["body"])


async def _serve(options: argparse.Namespace) -> None:
    async with SentryServer(port=options.port, store=options.store) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--store", type=Path, required=True)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
