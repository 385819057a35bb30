"""The table of those who write into one file or stream: each line goes to its writer, whose records wait for nobody else's.

    line ──▶ a container's stdout or stderr (runtimes wrap lines) ──▶ a prefix that says who wrote it ──▶ the writer's `WriterStream`

A writer that a prefix names is in the table only as long as something of it is open. What is released behind another writer's open record
must not be read again after a restart, although the position stands before it: `State.needed` lists the lines that must.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.names import LOG_STREAM
from agent.parse.containers import BY_NAME, CONTAINERS, Container, Wrapped
from agent.parse.dialect import CHANGE_AFTER, UNKNOWN, KnownFormat
from agent.parse.exceptions import HEADER
from agent.parse.limits import MAX_JOINED_BYTES
from agent.parse.parsed import NOWHERE, Parsed
from agent.parse.prefixes import TIMED, Learned, Prefixed, by_system, by_time, by_writer, is_timed_twice, may_have_prefix
from agent.parse.text_lines import sniff as is_levelled
from agent.parse.writer import Pieces, Writer
from agent.parse.writer_stream import Item, WriterStream
from agent.record import Drop

if TYPE_CHECKING:
    from collections.abc import Sequence

IOSTREAM: Final = LOG_STREAM
HEADER_BYTES: Final = HEADER.encode()
_ITSELF: Final = ""
"""The stream of lines that nobody wrapped."""
_RUN: Final = 64
_MAY_WRAP: Final = frozenset((b"{", b"\0", b"\r"))
"""How a line begins that a runtime may have wrapped, if it does not name a stream behind a time."""
_MAX_STREAMS: Final = 8
"""A runtime has two streams; whoever names more is no runtime."""
_MAX_WRITERS: Final = 8_192
"""Writers with something open; one more, and what the one has open that has said nothing for the longest time is given out as incomplete."""
_MAX_CANDIDATES: Final = 16
"""First lines of tracebacks behind an unknown prefix: whether it is one, their second lines tell."""

Key = tuple[str, str]
"""A container's stream, and who a prefix says it was (empty: there is no prefix)."""
_MAIN: Final[Key] = (_ITSELF, "")


class Returned(NamedTuple):
    """What was given out of the lines behind the position, since another writer's record was open there."""

    until: int
    """Offset of the last line that was read."""
    needed: tuple[int, ...]
    """Offsets of the lines up to there that are in no record yet."""
    container: str
    strays: int
    """What was known there."""


class State(NamedTuple):
    """What was found out about a file where its position stands."""

    container: str = ""
    """The runtime that wraps the lines; empty if none does."""
    strays: int = 0
    """How many lines running were not wrapped although they should have been."""
    streams: tuple[tuple[str, KnownFormat], ...] = ((_ITSELF, UNKNOWN),)
    """What is known of the writers' formats. Container's stream and prefix are one name."""
    returned: Returned | None = None


NOTHING: Final = State()


class Writers:
    """Gives each line to its writer."""

    def __init__(self, state: State = NOTHING, *, fixed: bool = False) -> None:
        self._container: Container | None = BY_NAME.get(state.container)
        self._strays = state.strays
        self._fixed = fixed
        inner = dict(state.streams).get(_ITSELF, UNKNOWN) if fixed and self._container is None else UNKNOWN
        self._given = inner.name
        """The format that a person named for the lines themselves."""
        self._table = {key: Writer(self._stream(key, known)) for name, known in (*NOTHING.streams, *state.streams) for key in (_key(name),)}
        self._learned: dict[Key, Learned] = {}
        self._candidates: list[Candidate] = []
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
    def state(self) -> State:
        """What others need to go on like these from the position on."""
        limit = self.open_offset()
        container, strays = [known for offset, known in self._history if limit is None or offset < limit][-1]
        streams = tuple((_name(key), writer.known()) for key, writer in self._table.items() if not key[1] or writer.limit() is not None)
        return State(container, strays, streams, self._returned() if limit is not None and self._mixed else None)

    @property
    def wrapped(self) -> bool:
        """Whether a container's runtime wraps the lines."""
        return self._container is not None

    @property
    def simple(self) -> bool:
        """Whether the next line can be taken by itself if it is a JSON object (of a stream whose format is JSON): nothing is open."""
        known = self._strays == 0 if self._container else self._table[_MAIN].stream.dialect.reads_json
        return known and not (self._busy and self.open_offset() is not None)

    @property
    def waiting(self) -> int:
        """How many records wait behind an open one."""
        return sum([len(writer.waiting) for writer in self._table.values()])

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
        if self._container is None and line[:1] not in _MAY_WRAP and b" std" not in line:  # nearly every line that nobody wrapped
            self._give(_ITSELF, line, now_ns, NOWHERE, (offset,))
        else:
            self._unwrap(offset, line, now_ns)
        if self._container is not None or self._history[-1][1][0]:
            self._remember(offset)

    def _unwrap(self, offset: int, line: bytes, now_ns: int) -> None:
        """Take a line that a container's runtime may have wrapped."""
        bare = line.strip(b"\0\r") if line[:1] == b"\0" or line[-1:] in (b"\r", b"\0") else line
        container, wrapped = self._unwrapped(bare)
        if self._container is None and container is None:
            self._give(_ITSELF, line, now_ns, NOWHERE, (offset,))
        elif container is None or wrapped is None:
            self._stray(offset, line, now_ns)
        else:
            self._change(container, now_ns)
            self._strays = 0
            self._join(offset, wrapped, now_ns, gap=not line.startswith(bare[:1]))

    def _remember(self, offset: int) -> None:
        """What is known of the runtime since the line at an offset."""
        known = (self._container.name if self._container else "", self._strays)
        if known != self._history[-1][1]:
            self._history = [*(self._history if self.open_offset() is not None else ()), (offset, known)]

    def restore(self, returned: Returned) -> None:
        """All lines were read again that were needed: go on behind those that were not."""
        self._container, self._strays = BY_NAME.get(returned.container), returned.strays
        self._mixed = True

    def release(self) -> list[Item]:
        """What is complete and does not lie behind an open record of its own writer, in the order of the file; forgets who has nothing open."""
        if not self._busy:
            return []
        if len(self._table) == 1:
            ready = self._table[_MAIN].take()
        else:
            ready = sorted([item for writer in self._table.values() for item in writer.take()], key=_offset)
            self._forget()
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
        offsets = [at for writer in self._table.values() if (at := writer.limit()) is not None]
        return (
            min([*offsets, *[pieces.offset for pieces in self._pieces.values()]], default=None)
            if self._pieces
            else min(offsets, default=None)
        )

    def open_text(self) -> list[bytes] | None:
        """The lines of all open records; None if they are not at hand as they were written."""
        if self._pieces or any(writer.waiting or (key[1] and writer.stream.open_lines) for key, writer in self._table.items()):
            return None
        return [line for writer in self._table.values() for line in writer.stream.open_lines]

    def _returned(self) -> Returned:
        needed = [
            offset for writer in self._table.values() if (at := writer.limit()) is not None for offset in writer.lines if offset >= at
        ]
        needed += [offset for pieces in self._pieces.values() for offset in pieces.offsets]
        return Returned(self._last, tuple(sorted(needed)), *self._history[-1][1])

    def _stray(self, offset: int, line: bytes, now_ns: int) -> None:
        """A line that nobody wrapped. In a container's file it is damaged; a few of them, and it is a container's file no more."""
        if not line.strip(b"\0\r "):
            self._give(_ITSELF, line, now_ns, NOWHERE, (offset,))
            return
        main = self._table[_MAIN]
        main.lines.append(offset)
        main.stream.plain(offset, line, self._container.malformed if self._container else "")
        self._strays += 1
        if self._strays >= CHANGE_AFTER and not self._fixed:
            self._change(None, now_ns)

    def _change(self, container: Container | None, now_ns: int) -> None:
        """The file is wrapped from here on, or is no more: what was open before is over."""
        if container is not self._container:
            self.close(now_ns)
            self._container = container

    def _unwrapped(self, line: bytes) -> tuple[Container | None, Wrapped | None]:
        candidates = (self._container,) if self._container else () if self._given else CONTAINERS
        for candidate in candidates:
            if (wrapped := candidate.unwrap(line)) is not None:
                return candidate, wrapped
        return None, None

    def _join(self, offset: int, wrapped: Wrapped, now_ns: int, *, gap: bool) -> None:
        """Put a line together from its pieces. `gap`: NULs stood before it."""
        known = (wrapped.stream, "") in self._table
        name = wrapped.stream if known or sum(not key[1] for key in self._table) < _MAX_STREAMS else _ITSELF
        writer = self._writer((name, ""))
        if gap:
            writer.waiting.append(Item(offset, offset, Drop.NUL_GAP))
        pieces = self._pieces.pop(name, None)
        if pieces is None:
            pieces = Pieces(offset, Parsed(None, {IOSTREAM: wrapped.stream, **wrapped.attributes}, wrapped.time_ns))
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

    # --- prefixes ----------------------------------------------------------------------------------------------------

    def _give(self, stream: str, line: bytes, now_ns: int, base: Parsed, offsets: Sequence[int]) -> None:
        """Give a line to who wrote it. It stands at `offsets`, at several if it came in pieces."""
        found = self._prefixed(stream, line, now_ns)
        if found is None:
            if line.endswith(HEADER_BYTES):
                self._consider(stream, offsets[0], line, base)
            writer = self._table.get((stream, "")) or self._writer((stream, ""))
            self._mixed = self._mixed or len(self._table) > 1
            writer.feed(line, now_ns, base, offsets)
            return
        self._mixed = True
        self._note(stream, found, offsets[0])
        self._writer((stream, found.writer)).feed(found.text, now_ns, _below(base, found.base), offsets)

    def _note(self, stream: str, found: Prefixed, offset: int) -> None:
        """A line behind a time is one of those without a prefix as well; that there are headers of syslog's is known of the whole stream."""
        main = self._table.get((stream, ""))
        if main is not None and found.writer == TIMED and self._with_open(stream, TIMED) is None:
            main.stream.close()
        if main is not None and found.system:
            main.stream.dialect.note_syslog()
            main.note(offset)

    def _prefixed(self, stream: str, line: bytes, now_ns: int) -> Prefixed | None:
        """A line behind a prefix. A format that a person has named is looked for behind prefixes as well, but plain text is left as it is."""
        if (self._learned or self._candidates) and (found := self._by_learned(stream, line, now_ns)) is not None:
            return found
        if self._given == "plain" or not (may_have_prefix(line) or (len(self._table) > 1 and (stream, TIMED) in self._table)):
            return None
        if (found := by_writer(line)) is not None:
            return self._by_time(stream, found.text, now_ns, found) or found
        if self._given in ("", "syslog"):
            found = self._by_system(stream, line, now_ns)
        return found or self._by_time(stream, line, now_ns)

    def _by_system(self, stream: str, line: bytes, now_ns: int) -> Prefixed | None:
        """A line behind a system log's header. A logger's line may look so as well: there it is one only where others are."""
        main = self._table.get((stream, ""))
        known = main is not None and main.stream.dialect.reads_syslog
        found = by_system(line, now_ns, bare=known)
        return found if known or found is None or not line[:1].isdigit() or not is_levelled(line) else None

    def _by_time(self, stream: str, line: bytes, now_ns: int, outer: Prefixed | None = None) -> Prefixed | None:
        """A line behind a time. `outer`: the writer's prefix that stands before it, as Compose and Kubernetes print both."""
        name = f"{outer.writer} {TIMED}" if outer else TIMED
        going_on = self._with_open(stream, name)
        if going_on is not None and is_levelled(line) and not is_timed_twice(line):
            going_on.stream.close()
            return None
        found = by_time(line, now_ns, going_on=going_on is not None)
        if found is None or outer is None:
            return found
        if going_on is None and (before := self._with_open(stream, outer.writer)) is not None:
            before.stream.close()
        return found._replace(writer=name, base=_below(outer.base, found.base))

    def _with_open(self, stream: str, name: str) -> Writer | None:
        """A writer, while something of it is open: others are forgotten at the next release, whenever that is."""
        writer = self._table.get((stream, name))
        return writer if writer is not None and writer.stream.open_offset is not None else None

    def _by_learned(self, stream: str, line: bytes, now_ns: int) -> Prefixed | None:
        for key, learned in self._learned.items():
            if key[0] == stream and (found := learned.split(line)) is not None:
                return found
        for candidate in self._candidates:
            if candidate.stream == stream and (found := candidate.learned.split(line)) is not None and found.text.startswith(b"  "):
                self._candidates.remove(candidate)
                return found if self._learn(candidate, now_ns) else None
        return None

    def _consider(self, stream: str, offset: int, line: bytes, base: Parsed) -> None:
        """Remember the first line of a traceback behind an unknown prefix, which the second may repeat."""
        learned = None if self._given in ("plain", "syslog") or is_levelled(line) else Learned.of(line)
        if learned is not None:
            self._candidates = [*self._candidates[1 - _MAX_CANDIDATES :], Candidate(stream, offset, line, learned, base)]

    def _learn(self, candidate: Candidate, now_ns: int) -> bool:
        """The prefix is one: its writer is another than who was given the first line."""
        before, key = self._table[candidate.stream, ""], (candidate.stream, candidate.learned.writer)
        first = candidate.learned.split(candidate.line)
        if first is None or not before.stream.withdraw(candidate.offset):
            return False
        before.withdraw(candidate.offset)
        self._learned[key] = candidate.learned
        self._writer(key).feed(first.text, now_ns, _below(candidate.base, first.base), (candidate.offset,))
        return True

    def _writer(self, key: Key) -> Writer:
        """The writer, who is the last of the table now."""
        writer = self._table.pop(key, None) if key[1] else self._table.get(key)
        if writer is None:
            writer = Writer(self._stream(key, UNKNOWN))
            if len(self._table) >= _MAX_WRITERS:
                self._give_up_oldest()
        self._table[key] = writer
        return writer

    def _stream(self, key: Key, known: KnownFormat) -> WriterStream:
        given = self._given and self._given != "syslog"
        if key[1]:
            return WriterStream(KnownFormat(self._given) if given else known, fixed=bool(given), prefixed=True)
        return WriterStream(known, fixed=bool(self._given))

    def _give_up_oldest(self) -> None:
        """Too many have something open: the one that has said nothing for the longest time has most likely said all."""
        oldest = next((writer for key, writer in self._table.items() if key[1] and writer.stream.open_offset is not None), None)
        if oldest is not None:
            oldest.stream.give_up()

    def _forget(self) -> None:
        """Drop who has nothing open and is known by a prefix only."""
        idle = [key for key, writer in self._table.items() if key[1] and writer.limit() is None]
        for key in idle:
            del self._table[key]
            self._learned.pop(key, None)


class Candidate(NamedTuple):
    """The first line of a traceback, and what stands before it."""

    stream: str
    offset: int
    line: bytes
    learned: Learned
    base: Parsed


def _below(outer: Parsed, inner: Parsed) -> Parsed:
    """What two wrappers know of a line: the inner one knows better."""
    if outer is NOWHERE:
        return inner
    return inner._replace(time_ns=inner.time_ns or outer.time_ns, attributes={**outer.attributes, **inner.attributes})


def _name(key: Key) -> str:
    return "\t".join(key) if key[1] else key[0]


def _key(name: str) -> Key:
    stream, _, writer = name.partition("\t")
    return stream, writer


_offset: Final = attrgetter("offset")
