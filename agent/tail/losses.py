"""Counts the bytes that were seen in a file and are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.record import Drop
from agent.tail.decide import bytes_missed
from agent.tail.position import Cause
from agent.tail.table import FileNotice

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tail.content import Content
    from agent.tail.table import ContentTable


class Losses:
    """Counts by reason, once for each lost content."""

    def __init__(self, table: ContentTable) -> None:
        self._table = table

    def count_new(self, may_be_found: Callable[[str], bool]) -> None:
        """Count the bytes of newly lost contents, except at live paths where a waiting file may still hold them."""
        for content in self._table.lost:
            if content.is_uncounted and not may_be_found(content.live_path):
                self._count(content)

    def forget(self, content: Content) -> None:
        """A lost content can't be found any more."""
        if content.is_uncounted:
            self._count(content)
        self._table.forget(content)

    def found(self, content: Content, size: int | None) -> None:
        """A lost content is found in a file in which it has this size, if that is known: what it had more of is missing."""
        content.is_uncounted = False
        if size is not None:
            self._add(content, bytes_missed(content.size, content.offset, size))

    def _count(self, content: Content) -> None:
        content.is_uncounted = False
        if not content.active_at and content.place.path == content.live_path:  # not seen since an earlier agent: it may have grown
            self._table.notices.append(FileNotice("vanished", content.place.path))
        self._add(content, 0 if content.place.gzip else bytes_missed(content.size, content.offset))

    def _add(self, content: Content, missed: int) -> None:
        if missed:
            self._table.drops[Drop.TRUNCATED_WINDOW if content.cause is Cause.TRUNCATED else Drop.ROTATED_AWAY] += missed
