"""Log files: finds them by glob, follows them through every rotation, and reads each line once.

It reads complete lines of regular files, plain or gzip. It never writes to a file or locks it, never follows a link out of the allowed
directories, never gives out a line whose end was not written yet (but see `partial_idle`), and never begins a file again because of an error.
When the spool is full it stops reading: the files keep what there is. When a file is removed before it was read it is held open and read
to its end; when a content is truncated away before it was read, the bytes missed are counted.

Its parts, from the bytes up: `agent/tail` follows files and cuts lines; `log_batches` makes records and positions of them (`log_draft`,
`log_pieces`); `log_reports` says what happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from agent.component import ComponentConfig, Unread
from agent.crash import crash_point
from agent.sources.log_batches import LINGER, Batches
from agent.sources.log_config import LogFilesConfig, options
from agent.sources.log_reports import Reporter, doubts
from agent.tail.content import ContentState
from agent.tail.tail import Tail
from agent.tail.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.component import Context
    from agent.record import Batch

_SOON: Final = 0.05
"""Seconds between two scans at the end."""


class LogFiles:
    """A source of log records: see the module."""

    Config: ClassVar[type[ComponentConfig]] = LogFilesConfig
    replayable: ClassVar[bool] = True

    def __init__(self, config: LogFilesConfig, context: Context) -> None:
        self.config = config
        self.settling = config.record_idle + 3 * config.poll_interval
        self._context = context
        self._tail: Tail | None = None
        self._reporter = Reporter(context)
        self._unreadable = Unreadable()
        """Of all followings, so that the last one, at the stop, reports nothing again."""

    def doubts(self) -> list[str]:
        """Globs that no file matches now, and files and directories that they ask for and that can't be read."""
        return doubts(self.config.include, self.config.exclude)

    def troubles(self) -> list[str]:
        """The same at run time, as the last scan has seen it; globs only some seconds after the start, because files may be made then."""
        return self._reporter.troubles(self._tail, self._context.clock.monotonic()) if self._tail is not None else []

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Follow the files until cancelled."""
        clock = self._context.clock
        tail = await self._follow()
        batches = Batches(tail, self.config, clock.wall_ns, linger=LINGER)
        self._reporter.begin(clock.monotonic())
        try:
            while True:
                batch = self._next(tail, batches)
                if batch is None:
                    await clock.sleep(self.config.poll_interval)
                    continue
                crash_point("tail.before_emit")
                await emit(batch)
                crash_point("tail.after_emit")
                self._reporter.stored(batch)
        finally:
            await self.close()

    async def finish(self, emit: Callable[[Batch], Awaitable[None]], *, writer_ended: bool = False) -> None:
        """Read to the present end, from what is committed, and close the records that are open there."""
        clock = self._context.clock
        tail = await self._follow()
        batches = Batches(tail, self.config, clock.wall_ns)
        try:
            while True:
                batch = self._next(tail, batches)
                if batch is None and tail.has_more():
                    await clock.sleep(_SOON)  # it is not known yet what the content is a continuation of
                    continue
                if batch is None and (batch := batches.finish(writer_ended=writer_ended)) is None:
                    return
                await emit(batch)
                self._reporter.stored(batch)
        finally:
            await self.close()

    async def unread(self) -> Unread:
        """Count the bytes that the files hold beyond the committed positions, an unended line included."""
        tail = await self._committed()
        try:
            tail.scan(self._context.clock.monotonic())
            behind = [content.lag() for content in tail.table.contents.values() if content.state is not ContentState.LOST]
        finally:
            tail.close()
        return Unread(sum(behind), len(list(filter(None, behind))))

    async def _follow(self) -> Tail:
        """Begin to follow the files from what is committed."""
        tail = self._tail = await self._committed()
        tail.table.unreadable = self._unreadable
        return tail

    async def _committed(self) -> Tail:
        return Tail(options(self.config), await self._context.positions(), self._context.clock.monotonic)

    def _next(self, tail: Tail, batches: Batches) -> Batch | None:
        """Look if it is time to, read, and report what happened."""
        now = self._context.clock.monotonic()
        batch = batches.next(now)
        self._reporter.notices(tail.table.take_notices())
        self._reporter.bytes_read(batches.take_bytes_read())
        self._reporter.check(tail, now)
        return batch

    async def close(self) -> None:
        """Release all files."""
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.close()
            self._reporter.end()
