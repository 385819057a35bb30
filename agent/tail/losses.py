"""Counting the bytes that were seen in a file and are nowhere any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.tail.decide import bytes_missed
from agent.tail.position import Cause
from agent.tail.table import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tail.stream import Stream
    from agent.tail.table import Table


class Losses:
    """Counts by reason, once for each lost content."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def count_new(self, may_be_found: Callable[[str], bool]) -> None:
        """Count what newly lost contents had, but for homes at which something waits that may yet have it."""
        for stream in self._table.lost:
            if stream.is_uncounted and not may_be_found(stream.home):
                self._count(stream)

    def forget(self, stream: Stream) -> None:
        """Nothing can match a lost content any more."""
        if stream.is_uncounted:
            self._count(stream)
        self._table.forget(stream)

    def found(self, stream: Stream, size: int | None) -> None:
        """A lost content is found in a file in which it has this size, if that is known: what it had more of is missing."""
        stream.is_uncounted = False
        if size is not None:
            self._add(stream, bytes_missed(stream.size, stream.offset, size))

    def _count(self, stream: Stream) -> None:
        stream.is_uncounted = False
        if not stream.active_at and stream.place.path == stream.home:  # not seen since an earlier agent: it may have grown
            self._table.notices.append(Notice("vanished", stream.place.path))
        self._add(stream, 0 if stream.place.gzip else bytes_missed(stream.size, stream.offset))

    def _add(self, stream: Stream, missed: int) -> None:
        if missed:
            self._table.drops["truncated_window" if stream.cause is Cause.TRUNCATED else "rotated_away"] += missed
