"""`/logs` of the control socket: stored log records as JSON lines, oldest first; with `follow=1` also new ones."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

import orjson

from agent.net.server_message import JSON_LINES, ServerRequest, ServerResponse
from agent.parse.severity import from_name
from agent.record import Severity, Signal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from agent.record import Row
    from agent.spool.spool import Spool

PAGE: Final = 16
"""Rows that are read at a time: a few MiB of memory at most."""
UNSPECIFIED: Final = Severity.UNSPECIFIED.name.lower()
KNOWN: Final = ", ".join(member.lower() for member in Severity.__members__)
POLL: Final = 0.25
"""Seconds between two polls for new rows."""


class LogsRoute:
    """The route. Query: `follow`; `severity`, the lowest one by any usual name; `source`; `after`, a row's number."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    async def __call__(self, request: ServerRequest) -> ServerResponse:
        """Stream the records that match."""
        name = request.query.get("severity", UNSPECIFIED)
        least = from_name(name)
        if not least and name.lower() != UNSPECIFIED:
            return ServerResponse(f"no severity {name!r}; there are {KNOWN}\n".encode(), 400)
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            return ServerResponse(b"after is the number of a row\n", 400)
        follow = request.query.get("follow", "0") != "0"
        lines = self._lines(least, request.query.get("source", ""), int(after), follow=follow)
        return ServerResponse(lines, content_type=JSON_LINES)

    async def _lines(self, least: int, source: str, after: int, *, follow: bool) -> AsyncGenerator[bytes, None]:
        while True:
            rows = await self._spool.tail(Signal.LOGS, after, PAGE)
            for row in rows:
                after = row.seq
                if not source or row.source == source:
                    yield b"".join(matching(row, least))
            if not rows:
                if not follow:
                    return
                await asyncio.sleep(POLL)


def matching(row: Row, least: int) -> Iterator[bytes]:
    """Return the records of a row with at least this severity, one JSON line each."""
    from agent.encode.otlp_decode import decode_logs  # noqa: PLC0415 - its protobuf classes cost 4 MiB, which an agent without such requests does not pay

    for record in decode_logs(zlib.decompress(row.body, wbits=31)):
        if int(str(record.get("severity_number") or 0)) >= least:
            yield orjson.dumps({"source": row.source, **record}, default=_text) + b"\n"


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
