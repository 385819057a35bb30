"""The table of the writers of one file or stream: each line goes to its writer, whose records do not wait for another's.

    line ──▶ a container's stdout or stderr (runtimes wrap lines) ──▶ a prefix that says who wrote it ──▶ the writer's `WriterStream`

Records that are released behind another writer's open record
must not be read again after a restart, although the position stands before it: `State.needed` lists the lines that must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.names import LOG_STREAM
from agent.parse.containers import BY_NAME, CONTAINERS, Container, Wrapped
from agent.parse.dialect import CHANGE_AFTER, UNKNOWN
from agent.parse.exceptions import HEADER
from agent.parse.limits import MAX_JOINED_BYTES
from agent.parse.parsed import NOWHERE, Parsed
from agent.parse.parser_state import ITSELF, MAIN, NOTHING, ParserState, Returned
from agent.parse.prefix_reader import PrefixReader, below
from agent.parse.prefixes import TIMED, Prefixed
from agent.parse.writer import Pieces, Writer
from agent.parse.writer_stream import Item
from agent.parse.writer_table import WriterTable
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER: Final = HEADER.encode()
_RUN: Final = 64
_MAY_WRAP: Final = frozenset((b"{", b"\0", b"\r"))
"""How a line begins that a runtime may have wrapped, if it does not name a stream behind a time."""
_MAX_STREAMS: Final = 8
"""A runtime has two streams; what names more is not a runtime."""


class Writers:
    """Gives each line to its writer."""

    def __init__(self, state: ParserState = NOTHING, *, fixed: bool = False) -> None:
        self._container: Container | None = BY_NAME.get(state.container)
        self._strays = state.strays
        self._fixed = fixed
        given = dict(state.streams).get(ITSELF, UNKNOWN) if fixed and self._container is None else UNKNOWN
        self._table = WriterTable(given.name, state.streams)
        self._prefixes = PrefixReader(self._table)
        self._pieces: dict[str, Pieces] = {}
        self._history = [(-1, (state.container, state.strays))]
        self._mixed = state.returned is not None
        """Whether others have written behind what is open."""
        self._last = -1
        self._busy = False
        """Whether something may be open, or wait."""
        self.pieced = False
        """Whether a line was put together from pieces since this was set to False."""

    @property
    def state(self) -> ParserState:
        """The state that others need to continue like these from the position on."""
        limit = self.open_offset()
        container, strays = [known for offset, known in self._history if limit is None or offset < limit][-1]
        return ParserState(container, strays, self._table.streams, self._returned() if limit is not None and self._mixed else None)

    @property
    def wrapped(self) -> bool:
        """Whether a container's runtime wraps the lines."""
        return self._container is not None

    @property
    def simple(self) -> bool:
        """Whether the next line can be taken by itself if it is a JSON object (of a stream whose format is JSON): nothing is open."""
        known = self._strays == 0 if self._container else self._table[MAIN].stream.dialect.reads_json
        return known and not (self._busy and self.open_offset() is not None)

    @property
    def waiting(self) -> int:
        """How many records wait behind an open one."""
        return self._table.waiting

    def json_run(self, lines: Sequence[tuple[int, bytes]], start: int) -> tuple[str, list[tuple[int, bytes]]]:
        """The stream that wrote the next lines, and what is wrapped in them: whole lines that look like objects where the format is JSON."""
        run: list[tuple[int, bytes]] = []
        writer = ""
        for offset, line in lines[start : start + _RUN]:
            peeked = self._container.peek(line) if self._container else None
            if peeked is None or peeked[1][:1] != b"{" or peeked[0] != (writer or peeked[0]):
                break
            writer = peeked[0]
            if (writer, "") not in self._table or not self._table[writer, ""].stream.dialect.reads_json:
                break
            run.append((offset, peeked[1]))
        return writer, run

    def feed(self, offset: int, line: bytes, now_ns: int) -> None:
        """Take the next line of the file."""
        self._last, self._busy = offset, True
        if self._container is None and line[:1] not in _MAY_WRAP and b" std" not in line:  # nearly every unwrapped line
            self._give(ITSELF, line, now_ns, NOWHERE, (offset,))
        else:
            self._unwrap(offset, line, now_ns)
        if self._container is not None or self._history[-1][1][0]:
            self._remember(offset)

    def _unwrap(self, offset: int, line: bytes, now_ns: int) -> None:
        """Take a line that a container's runtime may have wrapped."""
        bare = line.strip(b"\0\r") if line[:1] == b"\0" or line[-1:] in (b"\r", b"\0") else line
        container, wrapped = self._unwrapped(bare)
        if self._container is None and container is None:
            self._give(ITSELF, line, now_ns, NOWHERE, (offset,))
        elif container is None or wrapped is None:
            self._stray(offset, line, now_ns)
        else:
            self._change(container, now_ns)
            self._strays = 0
            self._join(offset, wrapped, now_ns, gap=not line.startswith(bare[:1]))

    def _remember(self, offset: int) -> None:
        """The knowledge of the runtime since the line at an offset."""
        known = (self._container.name if self._container else "", self._strays)
        if known != self._history[-1][1]:
            self._history = [*(self._history if self.open_offset() is not None else ()), (offset, known)]

    def restore(self, returned: Returned) -> None:
        """All lines were read again that were needed: go on behind those that were not."""
        self._container, self._strays = BY_NAME.get(returned.container), returned.strays
        self._mixed = True

    def release(self) -> list[Item]:
        """The complete records that are not behind an open one of their own writer, in the order of the file. Writers without an open record are forgotten."""
        if not self._busy:
            return []
        ready = self._table.take()
        if len(self._table) > 1:
            self._prefixes.forget(self._table.forget())
        if self.open_offset() is None:
            self._mixed = self._busy = False
        return ready

    def close(self, now_ns: int, *, ended: bool = False, failed: bool = False, written_ns: int = 0) -> None:
        """Complete all that is open; `ended`: because nothing will follow, `failed`: since an exception ended the process."""
        for name in tuple(self._pieces):
            self._line(name, self._pieces.pop(name), now_ns)
        for writer in self._table.values():
            writer.stream.close(ended=ended, failed=failed, written_ns=self._written_ns(writer, written_ns))

    def expire(self, now_ns: int, quiet_ns: int, age_ns: int, *, written_ns: int = 0) -> None:
        """Complete what is open of writers that were silent for long enough, and what is open for too long."""
        for writer in self._table.values():
            writer.stream.expire(now_ns, quiet_ns, age_ns, written_ns=self._written_ns(writer, written_ns))

    def _written_ns(self, writer: Writer, written_ns: int) -> int:
        """When a writer's last line was written: the file's last write, if that was the file's last line."""
        return written_ns if writer.lines and writer.lines[-1] == self._last else 0

    def open_offset(self) -> int | None:
        """Offset of the oldest line that is not in a record that was released."""
        offset = self._table.open_offset()
        return min([pieces.offset for pieces in self._pieces.values()] + ([] if offset is None else [offset])) if self._pieces else offset

    def open_text(self) -> list[bytes] | None:
        """The lines of all open records; None if they are not at hand as they were written."""
        return None if self._pieces else self._table.open_text()

    def _returned(self) -> Returned:
        needed = self._table.needed() + [offset for pieces in self._pieces.values() for offset in pieces.offsets]
        return Returned(self._last, tuple(sorted(needed)), *self._history[-1][1])

    def _stray(self, offset: int, line: bytes, now_ns: int) -> None:
        """An unwrapped line. In a container's file it is damaged; after a few of them the file no longer counts as a container's."""
        if not line.strip(b"\0\r "):
            self._give(ITSELF, line, now_ns, NOWHERE, (offset,))
            return
        main = self._table[MAIN]
        main.lines.append(offset)
        main.stream.plain(offset, line, self._container.malformed if self._container else "")
        self._strays += 1
        if self._strays >= CHANGE_AFTER and not self._fixed:
            self._change(None, now_ns)

    def _change(self, container: Container | None, now_ns: int) -> None:
        """The file is wrapped from here on, or no longer: open records have ended."""
        if container is not self._container:
            self.close(now_ns)
            self._container = container

    def _unwrapped(self, line: bytes) -> tuple[Container | None, Wrapped | None]:
        candidates = (self._container,) if self._container else () if self._table.given else CONTAINERS
        for candidate in candidates:
            if (wrapped := candidate.unwrap(line)) is not None:
                return candidate, wrapped
        return None, None

    def _join(self, offset: int, wrapped: Wrapped, now_ns: int, *, gap: bool) -> None:
        """Put a line together from its pieces. `gap`: NULs stood before it."""
        known = (wrapped.stream, "") in self._table
        name = wrapped.stream if known or sum(not key[1] for key in self._table) < _MAX_STREAMS else ITSELF
        writer = self._table.of((name, ""))
        if gap:
            writer.waiting.append(Item(offset, offset, Drop.NUL_GAP))
        pieces = self._pieces.pop(name, None)
        if pieces is None:
            pieces = Pieces(offset, Parsed(None, {LOG_STREAM: wrapped.stream, **wrapped.attributes}, wrapped.time_ns))
        self.pieced = self.pieced or wrapped.partial or bool(pieces.parts)
        pieces.add(offset, wrapped.text)
        if wrapped.partial and pieces.size < MAX_JOINED_BYTES:
            self._pieces[name] = pieces
            self._mixed = True
            return
        if wrapped.partial:
            writer.waiting.append(Item(pieces.offset, pieces.end, Drop.JOIN_LIMIT))
        self._line(name, pieces, now_ns)

    def _line(self, name: str, pieces: Pieces, now_ns: int) -> None:
        self._give(name, b"".join(pieces.parts), now_ns, pieces.base, pieces.offsets)

    def _give(self, stream: str, line: bytes, now_ns: int, base: Parsed, offsets: Sequence[int]) -> None:
        """Give a line to its writer. It is at `offsets`, at several if it came in pieces."""
        found = self._prefixes.read(stream, line, now_ns)
        if found is None:
            if line.endswith(_HEADER):
                self._prefixes.consider(stream, offsets[0], line, base)
            writer = self._table.get((stream, "")) or self._table.of((stream, ""))
            self._mixed = self._mixed or len(self._table) > 1
            writer.feed(line, now_ns, base, offsets)
            return
        self._mixed = True
        self._note(stream, found, offsets[0])
        self._table.of((stream, found.writer)).feed(found.text, now_ns, below(base, found.base), offsets)

    def _note(self, stream: str, found: Prefixed, offset: int) -> None:
        """A line behind a time is one of those without a prefix as well; that there are headers of syslog's is known of the whole stream."""
        main = self._table.get((stream, ""))
        if main is not None and found.writer == TIMED and self._table.opened(stream, TIMED) is None:
            main.stream.close()
        if main is not None and found.system:
            main.stream.dialect.note_syslog()
            main.note(offset)
