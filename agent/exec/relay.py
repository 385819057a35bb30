"""Passes the bytes of a pipe on to a descriptor of ours, and keeps a copy of them for whoever collects it.

Passing on comes first: a collector that can't keep up holds the writer back as a full pipe would, one that is stuck only for a moment.

The writer does not learn what becomes of what we pass on: where our own reader has gone (EPIPE: `outrider exec -- command | head -1`) or the disk
is full (ENOSPC), it goes on, all that it says is kept, and the lines that were not passed on whole are counted. Whoever observes a service is
not to end it because somebody stopped looking at its output; a command of a pipeline that is to end with its reader needs no agent around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.exec.passing import CHUNK, held_open, write_all
from agent.fds import in_pipe

if TYPE_CHECKING:
    from collections.abc import Callable

BITE: Final = 256 * 1024
"""Bytes that are collected at a time, at most."""
TURN: Final = 1 << 20
"""Bytes that are passed on at a time for the sake of a whole line, about."""


class Piece(NamedTuple):
    """What is collected at a time: what was given up, then what comes behind it."""

    data: bytes
    lost: int = 0
    """Lines that are not there, or not whole, right before `data`."""
    skipped: int = 0
    """Their bytes."""
    unwritten: int = 0
    """Lines, of those that were given so far, that could not be passed on, or not whole."""


class Torn:
    """Counts the lines of which not every byte came through, given what did and what did not, in order."""

    def __init__(self) -> None:
        self._lines = 0
        self.is_open = False
        """Something is missing of a line whose end is still to come."""

    def __bool__(self) -> bool:
        """Whether there are any that were not taken."""
        return self._lines > 0

    def came(self, data: bytes) -> None:
        """These bytes came through."""
        if self.is_open and b"\n" in data:
            self.end()

    def went(self, data: bytes) -> None:
        """These did not."""
        if data:
            self._lines += data.count(b"\n")
            self.is_open = not data.endswith(b"\n")

    def end(self) -> None:
        """The line has ended."""
        self._lines += self.is_open
        self.is_open = False

    def take(self) -> int:
        """How many there are since the last time."""
        lines, self._lines = self._lines, 0
        return lines


class Backlog:
    """Bytes that wait to be collected, at most `room` of them; no threads, no I/O.

    When there is no room for more the oldest lines are given up, and not the newest: what a program said last is what tells why it ended,
    and the spool lets the oldest go as well. Only whole lines go, so that what follows begins with a line.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._gone = Torn()
        self._skipped = 0

    def __bool__(self) -> bool:
        """Whether there is something to take."""
        return self._size > 0 or bool(self._gone)

    def fits_within(self, size: int) -> bool:
        """Whether what waits is less than that."""
        return self._size < size

    def fits(self, size: int) -> bool:
        """Whether so many bytes more have room."""
        return self._size + size <= self._room

    def put(self, chunk: bytes) -> None:
        """Add bytes; give up as many of the oldest lines as that takes."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size > self._room:
            self._give_up(len(self._chunks[0]))
        while self._gone.is_open and self._chunks:
            self._give_up(self._chunks[0].find(b"\n") + 1 or len(self._chunks[0]))

    def end(self) -> None:
        """No more will come: a line whose beginning was given up has ended."""
        self._gone.end()

    def take(self, most: int) -> Piece:
        """Remove up to `most` bytes, at least one chunk if there is any, and what is to be known before them."""
        taken: list[bytes] = []
        room = most
        while self._chunks and (not taken or len(self._chunks[0]) <= room):
            taken.append(self._chunks.popleft())
            room -= len(taken[-1])
        data = b"".join(taken)
        self._size -= len(data)
        skipped, self._skipped = self._skipped, 0
        return Piece(data, self._gone.take(), skipped)

    def _give_up(self, size: int) -> None:
        """Remove the first bytes of the oldest chunk."""
        chunk = self._chunks.popleft()
        gone, rest = chunk[:size], chunk[size:]
        if rest:
            self._chunks.appendleft(rest)
        self._size -= len(gone)
        self._skipped += len(gone)
        self._gone.went(gone)


class Relay:
    """One pipe: a thread that passes its bytes on, and `take` for a coroutine that collects them.

    passing on ──(pipe at its end, or `finish`)──▶ ended: `take` gives what is left, then None ──(others hold the pipe)──▶ handed over to
    another process, or passed on and not kept ──▶ `close`
    """

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        room: int,
        patience: float,
        ended: Callable[[], None] = lambda: None,
        hand_over: Callable[[int, int], bool] = lambda _source, _sink: False,
        turn: threading.Lock | None = None,
    ) -> None:
        """`source` is ours from now on. `ended` is called on the running loop once all that counts was passed on.

        `hand_over(source, sink)` is called before that where others still hold the pipe: whether a process passes on what they write.
        Relays whose sinks are one file share a `turn`, so that neither writes into a line of the other's.
        """
        self._source, self._sink = source, sink
        self._backlog = Backlog(room)
        self._unwritten = Torn()
        self._patience = patience
        self._ended = ended
        self._hand_over = hand_over
        self._turn = turn or threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._filled = asyncio.Event()
        """Set when more than a pipe holds is waiting, and at the end."""
        self._changed = threading.Condition()
        self._stuck = False
        """Nobody has taken anything for so long that nobody is waited for."""
        self._keeping = True
        self.passed = threading.Event()
        """Set once all that counts was passed on."""
        self._bell, self._cord = os.pipe()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"relay-{sink}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def ready(self) -> None:
        """Wait until there is something to take, or the end."""
        while True:
            with self._changed:
                if self._backlog or self._unwritten or not self._keeping:
                    return
                self._arrived.clear()
            await self._arrived.wait()

    async def take(self, linger: float = 0.0) -> Piece | None:
        """The next bytes, waiting for them; None at the end. Cancelled, it has taken nothing.

        `linger`: seconds that it may wait for more, so that a trickle of lines is not one request for each. What fills a pipe is not waited for.
        """
        await self.ready()
        if linger:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(linger):
                    await self._enough()
        with self._changed:
            if not self._backlog and not self._unwritten:
                return None
            self._stuck = False
            self._changed.notify()
            return self._backlog.take(BITE)._replace(unwritten=self._unwritten.take())

    async def _enough(self) -> None:
        while True:
            with self._changed:
                if not self._keeping or not self._backlog.fits_within(CHUNK):
                    return
                self._filled.clear()
            await self._filled.wait()

    def finish(self) -> None:
        """The writer has ended: what is in the pipe by now is its last. What others write is passed on and not kept."""
        self._pull(_FINISH)

    def abandon(self) -> int:
        """Keep nothing any more, and let go of what is kept: so many lines. Passing on continues."""
        with self._changed:
            self._keeping = False
            self._changed.notify()
            self._backlog.end()
            left = self._backlog.take(sys.maxsize)
        self._arrived.set()
        self._filled.set()
        return left.lost + left.data.count(b"\n") + bool(left.data and not left.data.endswith(b"\n"))

    def close(self) -> None:
        """End the thread, unless it is just held up by whoever reads our output: as a daemon it does not keep the process."""
        self.abandon()
        self._pull(_CLOSE)
        if self._thread.ident is None:
            self._close_descriptors()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, if it was started."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _pull(self, what: bytes) -> None:
        with self._changed:
            if not self._closed:
                os.write(self._cord, what)

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
        """Pass on, until the pipe's end or, keeping, the last that counts; False when told to close."""
        while (heard := self._heard()) != _CLOSE:
            if heard == _FINISH and keep:
                self._pass_last()
                return True
            if not heard and not self._pass_chunk(CHUNK, keep=keep):
                return True
        return False

    def _pass_last(self) -> None:
        """What is in the pipe now; once it has no writers, all that is in it."""
        left = in_pipe(self._source)
        while left > 0:
            left -= self._pass_chunk(min(CHUNK, left), keep=True)
        while not held_open(self._source) and self._pass_chunk(CHUNK, keep=True):
            pass

    def _pass_chunk(self, most: int, *, keep: bool) -> int:
        """Pass on what there is, and the rest of its last line if that is there as well; return how much it was, 0 at the pipe's end."""
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

    def _heard(self) -> bytes:
        """Wait for bytes or an order; return the order if that came."""
        if self._bell in (fd for fd, _ in _readable(self._source, self._bell)):
            return os.read(self._bell, 1)
        return b""

    def _keep(self, chunk: bytes, rest: bytes) -> None:
        """Add to the backlog, and count what could not be passed on. Full, it is waited for as long as somebody takes from it, else once, for `patience`."""
        with self._changed:
            if not self._backlog.fits(len(chunk)) and not self._stuck:
                self._stuck = not self._changed.wait_for(lambda: self._backlog.fits(len(chunk)) or not self._keeping, self._patience)
            if self._keeping:
                idle = not self._backlog
                self._backlog.put(chunk)
                self._unwritten.came(chunk[: len(chunk) - len(rest)])
                self._unwritten.went(rest)
                if idle:
                    self._call(self._arrived.set)
                if not self._backlog.fits_within(CHUNK):
                    self._call(self._filled.set)

    def _end(self) -> None:
        with self._changed:
            self._backlog.end()
            self._unwritten.end()
            self._keeping = False
        self.passed.set()
        self._call(self._arrived.set)
        self._call(self._filled.set)
        self._call(self._ended)

    def _call(self, function: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody collects any more
            self._loop.call_soon_threadsafe(function)

    def _close_descriptors(self) -> None:
        with self._changed:
            if not self._closed:
                self._closed = True
                for descriptor in (self._source, self._bell, self._cord):
                    os.close(descriptor)


_FINISH, _CLOSE = b"f", b"c"


def _readable(*descriptors: int) -> list[tuple[int, int]]:
    """Wait until one of them can be read, or is at its end."""
    poll = select.poll()  # select(2) knows no descriptor above 1023
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll.poll()
