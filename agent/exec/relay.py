"""Passes the bytes of a pipe on to our stdout or stderr, and keeps a copy of them to be collected.

Passing on comes first. A collector that is slow holds the writer back as a full pipe does; one that is stuck holds it back once, for a moment.

The writer does not learn what happens to the bytes behind us. Where our own reader has closed the pipe (EPIPE: `outrider exec -- command | head -1`)
or the disk is full (ENOSPC), the writer continues, its output is kept, and the lines that were not passed on whole are counted. An observed service
must not end because its output is not read any longer. A command of a pipeline that must end with its reader needs no agent around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Final

from agent.exec.backlog import Backlog, Piece, Torn
from agent.exec.passing import CHUNK, held_open, write_all
from agent.fds import in_pipe

if TYPE_CHECKING:
    from collections.abc import Callable

BITE: Final = 256 * 1024
"""Bytes that are collected at a time, at most."""
TURN: Final = 1 << 20
"""Bytes that are passed on at a time at most, about, to complete a line."""
_FINISH, _CLOSE = b"f", b"c"
"""Orders to the thread."""


class Relay:
    """One pipe: a thread that passes its bytes on, and `take` for a coroutine that collects them.

    passing on ──(end of the pipe, or `finish`)──▶ ended: `take` returns the rest, then None ──(others hold the pipe)──▶ handed over to
    another process, or passed on and not kept ──▶ `close`
    """

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        room: int,
        patience: float,
        hand_over: Callable[[int, int], bool] = lambda _source, _sink: False,
        turn: threading.Lock | None = None,
    ) -> None:
        """`source` belongs to the relay from now on. `room`: bytes that are kept; `patience`: seconds that a full room may hold the writer up.

        `hand_over(source, sink)` is called at the end if other processes hold the pipe; it returns whether a process passes on what they write.
        Relays whose sinks are one file share a `turn`: neither writes into a line of the other one.
        """
        self._source, self._sink = source, sink
        self._backlog = Backlog(room)
        self._unwritten = Torn()
        self._patience = patience
        self._hand_over = hand_over
        self._turn = turn or threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        """Set when `_wanted` bytes wait, and at the end."""
        self._wanted = 0
        self._taken = threading.Condition()
        """Guards the state that both threads use; notified when there may be room."""
        self._is_stuck = False
        """Whether the collector is not waited for any longer: it has taken nothing for `patience`."""
        self._keeps = True
        self.ended = asyncio.Event()
        """Set once all output of the writer was passed on."""
        self.passed = threading.Event()
        """The same, without a loop."""
        self._orders, self._order = os.pipe()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=f"relay-{sink}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def ready(self) -> None:
        """Wait until `take` has something to return, or the end."""
        await self._until(1)

    async def take(self, linger: float = 0.0) -> Piece | None:
        """Wait for the next bytes and return them; None at the end. A call that is cancelled has taken nothing.

        `linger`: seconds to wait for more, so that a trickle of lines is not one request for each. As much as a pipe holds is returned at once.
        """
        await self.ready()
        if linger:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(linger):
                    await self._until(CHUNK)
        with self._taken:
            if not self._waiting():
                return None
            self._is_stuck = False
            self._taken.notify()
            return self._backlog.take(BITE)._replace(unwritten=self._unwritten.take())

    def finish(self) -> None:
        """The writer has ended: the bytes in the pipe by now are its last. Later ones are others' output, which is passed on and not kept."""
        self._give(_FINISH)

    def abandon(self) -> int:
        """Keep nothing any longer; return how many lines were kept. Passing on continues."""
        with self._taken:
            self._keeps = False
            self._taken.notify()
            self._backlog.end()
            left = self._backlog.take(sys.maxsize)
        self._news.set()
        return left.lost + left.data.count(b"\n") + bool(left.data and not left.data.endswith(b"\n"))

    def close(self) -> None:
        """End the thread. Where the reader of our output holds it up it stays; it is a daemon and does not keep the process."""
        self.abandon()
        self._give(_CLOSE)
        if self._thread.ident is None:
            self._close_descriptors()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, if it was started."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    async def _until(self, wanted: int) -> None:
        """Wait until so many bytes, or a count, can be taken, or until the end."""
        while True:
            with self._taken:
                if not self._keeps or self._waiting() >= wanted:
                    return
                self._wanted = wanted
                self._news.clear()
            await self._news.wait()

    def _waiting(self) -> int:
        """Return how many bytes can be taken; one at least if there is a count."""
        return self._backlog.size or int(bool(self._backlog) or bool(self._unwritten))

    def _give(self, order: bytes) -> None:
        with self._taken:
            if not self._is_closed:
                os.write(self._order, order)

    def _run(self) -> None:
        try:
            if self._pass_on(keep=True):
                handed_over = held_open(self._source) and self._hand_over(self._source, self._sink)
                self._end()
                if not handed_over:
                    self._pass_on(keep=False)
        finally:
            self.passed.set()
            self._close_descriptors()

    def _pass_on(self, *, keep: bool) -> bool:
        """Pass on until the end of the pipe or, keeping, of the writer's output; return False after the order to close."""
        while (order := self._wait()) != _CLOSE:
            if order == _FINISH and keep:
                self._pass_last()
                return True
            if not order and not self._pass_chunk(CHUNK, keep=keep):
                return True
        return False

    def _pass_last(self) -> None:
        """Pass on the bytes in the pipe now; all of them once it has no writer."""
        left = in_pipe(self._source)
        while left > 0:
            left -= self._pass_chunk(min(CHUNK, left), keep=True)
        while not held_open(self._source) and self._pass_chunk(CHUNK, keep=True):
            pass

    def _pass_chunk(self, most: int, *, keep: bool) -> int:
        """Pass on the next bytes, and the rest of their last line if it is there; return how many, 0 at the end of the pipe."""
        passed: list[tuple[bytes, bytes]] = []
        size = 0
        with self._turn:
            while not passed or (size < TURN and not passed[-1][0].endswith(b"\n") and in_pipe(self._source)):
                chunk = os.read(self._source, most)
                passed.append((chunk, write_all(self._sink, chunk)))
                size += len(chunk)
        for chunk, rest in passed:
            if keep and chunk:
                self._keep(chunk, rest)
        return size

    def _wait(self) -> bytes:
        """Wait for bytes or an order; return the order, b"" for bytes."""
        poll = select.poll()  # select(2) knows no descriptor above 1023
        poll.register(self._source, select.POLLIN)
        poll.register(self._orders, select.POLLIN)
        return os.read(self._orders, 1) if self._orders in dict(poll.poll()) else b""

    def _keep(self, chunk: bytes, rest: bytes) -> None:
        """Keep the bytes, and count the lines of `rest`, which could not be passed on. A full room is waited for while the collector takes from it."""
        with self._taken:
            if not self._backlog.fits(len(chunk)) and not self._is_stuck:
                self._is_stuck = not self._taken.wait_for(lambda: self._backlog.fits(len(chunk)) or not self._keeps, self._patience)
            if self._keeps:
                before = self._waiting()
                self._backlog.put(chunk)
                self._unwritten.came(chunk[: len(chunk) - len(rest)])
                self._unwritten.went(rest)
                if before < self._wanted <= self._waiting():
                    self._call(self._news.set)

    def _end(self) -> None:
        with self._taken:
            self._backlog.end()
            self._unwritten.end()
            self._keeps = False
        self.passed.set()
        self._call(self._news.set)
        self._call(self.ended.set)

    def _call(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is collected any more
            self._loop.call_soon_threadsafe(function)

    def _close_descriptors(self) -> None:
        with self._taken:
            if not self._is_closed:
                self._is_closed = True
                for descriptor in (self._source, self._orders, self._order):
                    os.close(descriptor)
