"""Who wrote into a file: one writer, or a container's stdout and stderr, whose lines a runtime wrapped and mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.parse.containers import BY_NAME, CONTAINERS, Container, Wrapped
from agent.parse.limits import MAX_JOINED_BYTES
from agent.parse.parsed import Parsed
from agent.parse.stream import CHANGE_AFTER, UNKNOWN, Item, Known, Stream
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Sequence

IOSTREAM: Final = "log.iostream"
_ITSELF: Final = ""
"""The stream of lines that nobody wrapped."""
_RUN: Final = 64
_MAX_STREAMS: Final = 8
"""A runtime has two streams; whoever names more is no runtime."""


class Pieces:
    """A line that came in pieces, until its last one."""

    __slots__ = ("base", "end", "offset", "parts", "size")

    def __init__(self, offset: int, base: Parsed) -> None:
        self.offset = self.end = offset
        self.base = base
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, offset: int, text: bytes) -> None:
        """One more piece."""
        self.end = offset
        self.parts.append(text)
        self.size += len(text)


class State(NamedTuple):
    """What was found out about a file."""

    container: str = ""
    """The runtime that wraps the lines; empty if none does."""
    strays: int = 0
    """How many lines running were not wrapped although they should have been."""
    streams: tuple[tuple[str, Known], ...] = ((_ITSELF, UNKNOWN),)


NOTHING: Final = State()


class Writers:
    """Gives each line to the stream of its writer."""

    def __init__(self, state: State = NOTHING, *, fixed: bool = False) -> None:
        self._container: Container | None = BY_NAME.get(state.container)
        self._strays = state.strays
        self._fixed = fixed
        self._inner_fixed = fixed and self._container is None
        self._streams = {name: Stream(known, fixed=self._inner_fixed) for name, known in (*NOTHING.streams, *state.streams)}
        self._pieces: dict[str, Pieces] = {}
        self.pieced = False
        """Whether a line was put together from pieces since this was set to False."""

    @property
    def state(self) -> State:
        """What others need to go on like these."""
        container = self._container.name if self._container else ""
        return State(container, self._strays, tuple((name, stream.known) for name, stream in self._streams.items()))

    @property
    def wrapped(self) -> bool:
        """Whether a container's runtime wraps the lines."""
        return self._container is not None

    @property
    def simple(self) -> bool:
        """Whether the next line can be taken by itself if it is a JSON object (of a stream whose format is JSON): nothing is open."""
        known = self._strays == 0 if self._container else self._streams[_ITSELF].reads_json
        return known and self.open_offset() is None

    def json_run(self, lines: Sequence[tuple[int, bytes]], start: int) -> tuple[str, list[tuple[int, bytes]]]:
        """The stream that wrote the next lines, and what is wrapped in them: whole lines that look like objects where the format is JSON."""
        run: list[tuple[int, bytes]] = []
        writer = ""
        for offset, line in lines[start : start + _RUN]:
            peeked = self._container.peek(line) if self._container else None
            if peeked is None or peeked[1][:1] != b"{" or peeked[0] != (writer or peeked[0]):
                break
            writer = peeked[0]
            if writer not in self._streams or not self._streams[writer].reads_json:
                break
            run.append((offset, peeked[1]))
        return writer, run

    def feed(self, offset: int, line: bytes, now_ns: int, out: list[Item]) -> None:
        """Take the next line of the file."""
        bare = line.strip(b"\0\r")
        container, wrapped = self._unwrapped(bare)
        if container is None or wrapped is None:
            self._stray(offset, line, now_ns, out)
            return
        if not line.startswith(bare[:1]):
            out.append(Item(offset, offset, Drop.NUL_GAP))
        self._container, self._strays = container, 0
        self._join(offset, wrapped, now_ns, out)

    def close(self, now_ns: int, out: list[Item], *, ended: bool = False) -> None:
        """Complete all that is open; `ended`: because nothing will follow."""
        for name in tuple(self._pieces):
            self._line(name, self._pieces.pop(name), now_ns, out)
        for stream in self._streams.values():
            stream.close(out, ended=ended)

    def expire(self, now_ns: int, quiet_ns: int, age_ns: int, out: list[Item]) -> None:
        """Complete what is open of writers that were silent for long enough, and what is open for too long."""
        for stream in self._streams.values():
            stream.expire(now_ns, quiet_ns, age_ns, out)

    def open_offset(self) -> int | None:
        """Offset of the oldest line that is not in a complete record."""
        offsets = [at for stream in self._streams.values() if (at := stream.open_offset) is not None]
        return min([*offsets, *(pieces.offset for pieces in self._pieces.values())], default=None)

    def open_lines(self) -> list[bytes]:
        """The lines of all open records."""
        return [line for stream in self._streams.values() for line in stream.open_lines]

    def _stray(self, offset: int, line: bytes, now_ns: int, out: list[Item]) -> None:
        """A line that nobody wrapped. In a container's file it is damaged; a few of them, and it is a container's file no more."""
        if self._container is None or not line.strip(b"\0\r "):
            self._streams[_ITSELF].feed(offset, line, now_ns, out)
            return
        self._streams[_ITSELF].plain(offset, line, self._container.malformed, out)
        self._strays += 1
        if self._strays >= CHANGE_AFTER and not self._fixed:
            self._container = None

    def _unwrapped(self, line: bytes) -> tuple[Container | None, Wrapped | None]:
        candidates = (self._container,) if self._container else () if self._inner_fixed else CONTAINERS
        for candidate in candidates:
            if (wrapped := candidate.unwrap(line)) is not None:
                return candidate, wrapped
        return None, None

    def _join(self, offset: int, wrapped: Wrapped, now_ns: int, out: list[Item]) -> None:
        name = wrapped.stream if wrapped.stream in self._streams or len(self._streams) < _MAX_STREAMS else _ITSELF
        pieces = self._pieces.pop(name, None)
        if pieces is None:
            pieces = Pieces(offset, Parsed(None, {IOSTREAM: wrapped.stream, **wrapped.attributes}, wrapped.time_ns))
        self.pieced = self.pieced or wrapped.partial or bool(pieces.parts)
        pieces.add(offset, wrapped.text)
        if wrapped.partial and pieces.size < MAX_JOINED_BYTES:
            self._pieces[name] = pieces
            return
        if wrapped.partial:
            out.append(Item(pieces.offset, pieces.end, Drop.JOIN_LIMIT))
        self._line(name, pieces, now_ns, out)

    def _line(self, name: str, pieces: Pieces, now_ns: int, out: list[Item]) -> None:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Stream()
        stream.feed(pieces.offset, b"".join(pieces.parts), now_ns, out, pieces.base, end=pieces.end)
