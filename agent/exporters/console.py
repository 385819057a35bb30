"""Writes log records to standard output or standard error, one JSON line each: to look at, or for a collector of the platform.

A record is written whole or, when the agent is stopped in the middle of a row, again at the next start. A reader that is slow is waited for,
without blocking anything else; when it is gone, rows are kept.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import orjson

from agent.component import Accepted, ComponentConfig, Context
from agent.encode.otlp_decode import decode_logs
from agent.errors import RetryableError
from agent.fds import write_all
from agent.record import Row, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

DESCRIPTORS: Final = {"stdout": 1, "stderr": 2}


class ConsoleConfig(ComponentConfig):
    """Options of the `console` exporter."""

    stream: Literal["stdout", "stderr"] = "stdout"
    """Where to write."""


class Console:
    """The exporter."""

    Config: ClassVar[type[ComponentConfig]] = ConsoleConfig
    signals: frozenset[Signal] = frozenset({Signal.LOGS})

    def __init__(self, config: ConsoleConfig, context: Context, descriptors: Mapping[str, int] = DESCRIPTORS) -> None:  # noqa: ARG002 - the contract
        self._fd = descriptors[config.stream]

    async def export(self, row: Row) -> Accepted:
        """Write the row's records."""
        try:
            await write_all(self._fd, lines(row))
        except OSError as error:
            raise RetryableError(f"cannot write: {error.strerror}") from error
        return Accepted()

    async def close(self) -> None:
        """Nothing to release: the streams aren't ours."""


def lines(row: Row) -> bytes:
    """The row's records as JSON lines, each with the name of its source."""
    records = decode_logs(zlib.decompress(row.body, wbits=31))
    return b"".join(orjson.dumps({"source": row.source, **record}, default=_text) + b"\n" for record in records)


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
