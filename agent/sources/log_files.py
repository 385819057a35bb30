"""Log files: finds them by glob, follows them through every rotation, and reads each line once.

What it reads: complete lines of regular files, plain or gzip. What it never does: write to or lock a file, follow a link out of the
allowed directories, give out a line whose end was not written yet (but see `partial_idle`), or begin a file anew because of an error.
When the spool is full it stops reading: the files keep what there is. When a file is removed before it was read it is held open and read
to its end; when a content is truncated away before it was read, the bytes missed are counted.

The whole following is in `agent/tail`: here pieces of files become batches of records.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from agent.columns import Records
from agent.component import ComponentConfig, Unread
from agent.crash import crash_point
from agent.metrics import Kind, Metric, Observation
from agent.options import Duration, Interval, OptionError, Size, local_path
from agent.parse.format_name import FormatName  # noqa: TC001 - pydantic reads it
from agent.parse.limits import OPEN_AGE, TRUNCATED
from agent.parse.lines import Parser
from agent.record import Batch, Drop, Origin
from agent.resource import of_log_path
from agent.sources.log_pieces import Pieces
from agent.tail.discover import survey
from agent.tail.names import compile_glob, glob_root, printable
from agent.tail.stream import State
from agent.tail.table import SERIAL, Options
from agent.tail.tail import Tail
from agent.tail.unreadable import Unreadable, groups, remedy, sentences
from agent.telemetry import FileChanged, FileFound, FileUnreadable, NothingMatches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.component import Context
    from agent.record import Value
    from agent.tail.reader import Reader
    from agent.tail.stream import Oversized, Piece, Stream
    from agent.tail.table import Notice

ROOM: Final = 256 * 1024
"""Bytes of a batch."""
MOST: Final = 1000
"""Lines of a batch."""
FEW: Final = 50
"""Records that wait for more."""
LINGER: Final = 0.2
"""Seconds that they wait."""

BYTES_READ: Final = Metric("outrider.files.read", Kind.COUNTER, "By", "Bytes of log files read.")
BYTES_MISSED: Final = Metric(
    "outrider.files.missed", Kind.COUNTER, "By", "Bytes that were seen in a file and removed before they were read."
)
FILES_FOLLOWED: Final = Metric("outrider.files.followed", Kind.GAUGE, "{file}", "Files that are followed, by state.")
FILES_OPEN: Final = Metric("outrider.files.open", Kind.GAUGE, "{file}", "Log files held open.")
BYTES_BEHIND: Final = Metric("outrider.files.behind", Kind.GAUGE, "By", "Bytes of log files that are written and not read yet.")
_SOON: Final = 0.05
"""Seconds between two looks at the end."""
_FIGURES_EVERY: Final = 5.0
"""Seconds."""
SETTLING: Final = 5.0
"""Seconds after a start in which a glob may match nothing without a report."""
_SHOWN: Final = 5
"""Globs that one line names."""
_SMALLEST: Final = 16 * 1024
"""Bytes: with less room left in a batch, the next file waits for the next batch."""
_PARSERS: Final = 1000
"""Parsers kept; those of more files are made again and again."""
PARTIAL: Final = "log.partial"
"""Attribute, true on the two records of a line whose writer was silent in its middle."""


def _absolute(path: str) -> str:
    return os.path.abspath(local_path(path))


def _glob(pattern: str) -> str:
    try:
        compile_glob(pattern)
    except ValueError as error:
        raise OptionError(f"is not a glob: {error}", "correct it, or write [[] for a bracket") from error
    return pattern


LocalPath = Annotated[str, AfterValidator(_absolute)]
Glob = Annotated[LocalPath, AfterValidator(_glob)]


class LogFiles:
    """A source of log records: see the module."""

    replayable: ClassVar[bool] = True

    class Config(ComponentConfig):
        """Options of a log file source."""

        include: tuple[Glob, ...] = Field(min_length=1)
        """Globs of the files to follow; `**` goes through directories. Rotated files need not be included: they are followed anyhow."""
        exclude: tuple[Glob, ...] = ()
        """Globs of files to leave out."""
        start_at: Literal["beginning", "end"] = "beginning"
        """Where to begin in the files that exist when the agent starts for the first time ever; a file that comes later is read whole."""
        format: FormatName = "auto"
        """Format of the lines; `auto` finds it per file."""
        follow_rotated: bool = True
        """Whether to read rotated files that came and went while the agent did not look, though no glob asks for them."""
        rotated_to: tuple[LocalPath, ...] = ()
        """Directories that files are rotated into (`olddir`), besides their own and those directly below it, which are known."""
        allowed_roots: tuple[LocalPath, ...] = ()
        """Directories that links may lead to, besides those of the globs. Elsewhere only links of root and to the link owner's own files are followed."""
        poll_interval: Interval = 0.2
        """How often files are looked at."""
        max_line_bytes: Size = Field(default=1 << 20, ge=1024)
        """Longer lines are cut: the rest is skipped, its length and SHA-256 are attributes of the record."""
        max_open_files: int = Field(default=512, ge=1)
        """Files held open at most (and never more than half of the process's limit)."""
        record_idle: Duration = 1.0
        """A record that may have more lines (a traceback) is given out when its writer was silent for so long, and after 2 s (or this, if it is
        longer) however much is written: then with the attribute `log.incomplete`, and what follows are records of their own."""
        rotated_idle: Duration = 5.0
        """A last line without an end is given out when its file, removed or rotated away, was silent for so long."""
        partial_idle: Duration = 60.0
        """The same for a live file; 0 = never. What comes afterwards is a record of its own with the attribute `log.partial`."""
        max_held_bytes: Size = 1 << 30
        """Unread bytes of removed files that are kept from being freed; beyond, the files removed first are given up."""
        max_held_age: Duration = 3600.0
        """How long a removed file is held open at most."""
        max_gzip_bytes: Size = 16 << 30
        """Content of one gzip file at most."""
        max_gzip_ratio: int = Field(default=1000, ge=2)
        """How often a gzip file's size its content may be, beyond the first MiB."""

    def __init__(self, config: Config, context: Context) -> None:
        self.config = config
        self.settling = config.record_idle + 3 * config.poll_interval
        self._context = context
        self._tail: Tail | None = None
        self._figures_at = 0.0
        self._settled_at = 0.0
        """When a glob that no file matches is reported, monotonic seconds."""
        self._said = False
        self._unreadable = Unreadable()
        """Of all followings, so that the last one, at the stop, reports nothing again."""

    def doubts(self) -> list[str]:
        """Globs that no file matches now, and files and directories that they ask for and we may not read."""
        surveys = {glob: survey(glob, self.config.exclude) for glob in self.config.include}
        refused = {path: why for one in surveys.values() for path, why in one.refused.items()}
        empty = [_no_file(glob) for glob, one in surveys.items() if not one.found and not one.refused]
        return [*empty, *sentences(groups(refused))]

    def troubles(self) -> list[str]:
        """The same at run time, as the last look has seen it; globs only some seconds after the start, because files may be made then."""
        if self._tail is None:
            return []
        globs = self._tail.unmatched() if self._context.clock.monotonic() >= self._settled_at else []
        return [*map(_no_file, globs), *sentences(self._tail.table.unreadable.groups())]

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Follow the files until cancelled."""
        clock = self._context.clock
        self._tail = await self._follow()
        batches = Batches(self._tail, self.config, clock.wall_ns, linger=LINGER)
        self._settled_at = clock.monotonic() + SETTLING
        try:
            while True:
                batch = self._next(batches)
                if batch is None:
                    await clock.sleep(self.config.poll_interval)
                    continue
                crash_point("tail.before_emit")
                await emit(batch)
                crash_point("tail.after_emit")
                self._count_missed(batch)
        finally:
            await self.close()

    async def finish(self, emit: Callable[[Batch], Awaitable[None]], *, writer_ended: bool = False) -> None:
        """Read to the present end, from what is committed, and close the records that are open there."""
        clock = self._context.clock
        tail = self._tail = await self._follow()
        batches = Batches(tail, self.config, clock.wall_ns)
        try:
            while True:
                batch = self._next(batches)
                if batch is None and tail.has_more():
                    await clock.sleep(_SOON)  # it is not known yet what the content is a continuation of
                    continue
                if batch is None and (batch := batches.finish(writer_ended=writer_ended)) is None:
                    return
                await emit(batch)
                self._count_missed(batch)
        finally:
            await self.close()

    async def _follow(self) -> Tail:
        """The files as they are committed."""
        tail = Tail(options(self.config), await self._context.positions())
        tail.table.unreadable = self._unreadable
        return tail

    async def unread(self) -> Unread:
        """What the files hold beyond the committed positions, an unended line included."""
        tail = Tail(options(self.config), await self._context.positions())
        try:
            tail.look(self._context.clock.monotonic())
            behind = [stream.lag() for stream in tail.table.streams.values() if stream.state is not State.LOST]
        finally:
            tail.close()
        return Unread(sum(behind), len(list(filter(None, behind))))

    async def close(self) -> None:
        """Release all files."""
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.close()
            self._context.metrics.publish(self._context.name, ())

    def _next(self, batches: Batches) -> Batch | None:
        """Look if it is time to, read, and tell what happened."""
        now = self._context.clock.monotonic()
        batch = batches.next(now)
        for notice in batches.take_notices():
            self._tell(notice)
        self._tell_unread(now)
        if batches.bytes_read:
            self._context.metrics.add(BYTES_READ, batches.take_bytes_read(), {"source": self._context.name})
        if now >= self._figures_at and self._tail is not None:
            self._figures_at = now + _FIGURES_EVERY
            self._context.metrics.publish(self._context.name, figures(self._tail, self._context.name))
        return batch

    def _count_missed(self, batch: Batch) -> None:
        for reason in (Drop.TRUNCATED_WINDOW, Drop.ROTATED_AWAY):
            if batch.drops.get(reason):
                self._context.metrics.add(BYTES_MISSED, batch.drops[reason], {"source": self._context.name, "reason": reason})

    def _tell_unread(self, now: float) -> None:
        """Report what can't be read, in a line for each reason, and once which globs match nothing."""
        if self._tail is None:
            return
        source, emit = self._context.name, self._context.telemetry.emit
        for group in self._tail.table.unreadable.take_new():
            emit(FileUnreadable(source, printable(group.first), group.refusal.reason, group.refusal.event, group.number, remedy(group)))
        if not self._said and now >= self._settled_at:
            self._said = True
            if globs := self._tail.unmatched():
                emit(NothingMatches(source, ", ".join(map(printable, globs[:_SHOWN])), len(globs)))

    def _tell(self, notice: Notice) -> None:
        source, path = self._context.name, printable(notice.path)
        if notice.event == "found":
            self._context.telemetry.emit(FileFound(source, path))
        elif notice.error:
            self._context.telemetry.emit(FileUnreadable(source, path, notice.error, notice.event))
        else:
            self._context.telemetry.emit(FileChanged(source, path, notice.event))


def _no_file(glob: str) -> str:
    if os.path.isdir(glob):
        return f"{printable(glob)} is a directory, of which nothing is read: write {printable(os.path.join(glob, '*'))}"
    return f"no file matches {printable(glob)} now: {_nearest(glob)}"


def _nearest(glob: str) -> str:
    """What is most probably wrong with a glob that matches nothing."""
    root = glob_root(glob)
    if "$" in glob:
        return "a variable is written ${NAME}, in a configuration file only"
    if not os.path.isdir(root):
        return f"there is no directory {printable(root)}"
    return "check its spelling, if the file should be there"


class Batches:
    """Makes batches of what a `Tail` reads. Without I/O of its own, and without waiting: `now` is monotonic seconds."""

    def __init__(self, tail: Tail, config: LogFiles.Config, wall_ns: Callable[[], int], *, linger: float = 0.0) -> None:
        """`linger`: seconds for which a few records wait for more."""
        self._linger = linger
        self._since: float | None = None
        """When the first record of the present batch was read; None = there is none."""
        self._tail = tail
        self._config = config
        self._wall_ns = wall_ns
        self._parsers: dict[Stream, tuple[Parser, Origin]] = {}
        self._pieces = Pieces(tail)
        self._open: set[Stream] = set()
        """Streams whose parser holds an incomplete record."""
        self._look_at = 0.0
        self._stored_serial = 0
        self._begin()
        self.bytes_read = 0

    def _begin(self) -> None:
        self._since = None
        self._records = Records()
        self._positions: dict[str, bytes | None] = {}
        self._drops: Counter[str] = Counter()
        self._texts: list[bytes | None] = []

    def next(self, now: float) -> Batch | None:
        """The next batch; None = there is nothing to tell now."""
        if now >= self._look_at:
            self._look_at = now + self._config.poll_interval
            self._tail.look(now)
        read = self._read()
        self._add_unended()
        for stream in [one for one in self._open if not self._pieces.is_given(one)]:
            if not stream.more and self._is_over(stream):
                self._flush(stream)
            elif stream in read or not stream.more:
                self._expire(stream)
        self._spare_parsers()
        return None if self._lingers(now) else self._seal()

    def _is_over(self, stream: Stream) -> bool:
        """Whether nothing more is expected for what is open: the last piece of a line may come as late as the end of a line."""
        silent = self._tail.silent_for(stream)
        if silent < self._config.record_idle or not self._pieces.at_end(stream, self._parser(stream)[0]):
            return silent >= self._config.record_idle
        idle = self._config.rotated_idle if stream.is_rotated else self._config.partial_idle
        return 0 < idle <= silent

    def _lingers(self, now: float) -> bool:
        """Whether a few records wait for more: a trickle of lines is not one request for each. Positions have not moved, so a kill loses nothing."""
        if self._since is None and self._records:
            self._since = now
        return self._since is not None and len(self._records) < FEW and now - self._since < self._linger

    def finish(self, *, writer_ended: bool = False) -> Batch | None:
        """A last batch: what is open, as complete as it is; if nothing goes on with them, also last lines without an end."""
        if writer_ended:
            self._add_unended(at_once=True)
        for stream in list(self._open):
            self._flush(stream)
        return self._seal()

    def take_notices(self) -> list[Notice]:
        """What happened to files since the last call."""
        notices, self._tail.table.notices = self._tail.table.notices, []
        return notices

    def take_bytes_read(self) -> int:
        """Bytes read since the last call."""
        size, self.bytes_read = self.bytes_read, 0
        return size

    def _read(self) -> set[Stream]:
        """Read what there is room for; which files were read."""
        read: set[Stream] = set()
        room, most = ROOM, MOST
        while room > _SMALLEST and most > 0:
            got = self._tail.read(room, most)
            if got is None:
                break
            crash_point("tail.after_read")
            self._add(*got)
            read.add(got[0])
            room -= got[1].size
            most -= len(got[1].lines)
        return read

    def _add_unended(self, *, at_once: bool = False) -> None:
        for stream, piece, reader in self._tail.unended(at_once=at_once):
            self._add(stream, piece, reader)

    def _add(self, stream: Stream, piece: Piece, reader: Reader) -> None:
        if self._open:
            self._end_earlier(stream, is_first=stream.offset == piece.size)
        parser, _ = self._parser(stream)
        lines = piece.lines
        if piece.is_rest:
            self._add_marked(stream, lines[:1], {PARTIAL: True})
            lines = lines[1:]
        if piece.oversized:
            self._add_oversized(stream, lines, piece.oversized)
        elif piece.is_unended:
            self._add_marked(stream, lines, {} if stream.is_rotated else {PARTIAL: True})
        elif lines:
            self._parse(stream, [*self._pieces.before(stream, lines[0][0]), *lines] if stream.offset == piece.size else lines)
        if piece.gaps:
            self._drops[Drop.NUL_GAP] += piece.gaps
        self.bytes_read += piece.size
        self._store(stream, parser, reader)

    def _parse(self, stream: Stream, lines: list[tuple[int, bytes]]) -> None:
        parser, origin = self._parser(stream)
        records, drops = parser.parse_chunk(lines, origin, self._wall_ns())
        self._records += records
        self._drops.update(drops)
        self._texts.append(parser.text)

    def _add_marked(self, stream: Stream, lines: list[tuple[int, bytes]], attributes: dict[str, Value]) -> None:
        """Add a line that is not like the others: whatever is open ends with it, and its record says what is special."""
        if not lines:
            return
        self._parse(stream, lines)
        self._flush(stream)
        if self._records and attributes:
            last = self._records[-1]
            self._records.replace_last(last._replace(attributes={**last.attributes, **attributes}))

    def _add_oversized(self, stream: Stream, lines: list[tuple[int, bytes]], line: Oversized) -> None:
        before = self._drops[Drop.OVERSIZED]
        self._add_marked(stream, lines, {TRUNCATED: True, "log.line.length": line.length, "log.line.sha256": line.sha256})
        self._drops[Drop.OVERSIZED] = before + 1  # once, whether the parser cut it again or not

    def _end_earlier(self, stream: Stream, *, is_first: bool) -> None:
        """What was open in the file before this one ends with that file, and comes first; but a line in pieces goes on in this one."""
        for other in self._tail.table.earlier(stream):
            if other in self._open and not self._pieces.is_given(other):
                if is_first and self._pieces.give(other, self._parser(other)[0], stream):
                    self._end_before_pieces(other)
                else:
                    self._flush(other)

    def _end_before_pieces(self, stream: Stream) -> None:
        """What stands before the pieces at the end of a file comes before what they become."""
        parser, origin = self._parser(stream)
        before, rest, _ = self._pieces.split(stream, parser)
        if before:
            self._parsers[stream] = Parser.from_state(parser.state(), self._config.format), origin
            self._parse(stream, before)
            self._flush(stream)
            self._parse(stream, rest)
            self._store(stream, self._parser(stream)[0], self._tail.pool.peek(stream))

    def _end_owners(self, stream: Stream) -> None:
        """A line is whole that began in earlier files: what else is open there ends, too, and their positions move to their ends."""
        for owner in self._pieces.take_owners(stream):
            if owner.key in self._tail.table.streams:
                parser, origin = self._parser(owner)
                _, _, others = self._pieces.split(owner, parser)
                self._parsers[owner] = Parser.from_state(parser.state(), self._config.format), origin
                self._parse(owner, others)
                self._flush(owner)

    def _flush(self, stream: Stream) -> None:
        parser, _ = self._parser(stream)
        self._give(stream, parser, parser.flush(self._wall_ns()))

    def _expire(self, stream: Stream) -> None:
        """Close what is open for too long although its file grows.

        While the file has more to read, a short silence says nothing of a writer: what it wrote next may not be read yet.
        """
        age = max(OPEN_AGE, self._config.record_idle)
        parser, _ = self._parser(stream)
        if records := parser.expire(self._wall_ns(), age if stream.more else self._config.record_idle, age):
            self._give(stream, parser, records)

    def _give(self, stream: Stream, parser: Parser, records: Records) -> None:
        """Add records that were open."""
        self._records += records
        self._drops.update(parser.take_drops())
        if records:
            self._texts.append(None)
        self._store(stream, parser, self._tail.pool.peek(stream))

    def _store(self, stream: Stream, parser: Parser, reader: Reader | None) -> None:
        incomplete = parser.open_offset()
        (self._open.discard if incomplete is None else self._open.add)(stream)
        position = stream.position(stream.offset if incomplete is None else incomplete, parser.state(), reader)
        self._positions[stream.key] = position.encode()
        if position.offset:
            self._end_owners(stream)

    def _parser(self, stream: Stream) -> tuple[Parser, Origin]:
        known = self._parsers.get(stream)
        if known is None:
            state = stream.saved.parser
            parser = Parser.from_state(state, self._config.format) if state else Parser(self._config.format)
            known = self._parsers[stream] = parser, origin_of(stream)
        return known

    def _spare_parsers(self) -> None:
        """What a parser knows is in the position: those of silent files can be made anew."""
        if len(self._parsers) > _PARSERS:
            self._parsers = {stream: known for stream, known in self._parsers.items() if stream in self._open}

    def _seal(self) -> Batch | None:
        self._collect_changes()
        if not self._records and not self._positions and not self._drops:
            return None
        text = None if None in self._texts else b"\n".join(filter(None, self._texts))
        batch = Batch(self._records, self._positions, dict(self._drops), text=text)
        self._begin()
        return batch

    def _collect_changes(self) -> None:
        table = self._tail.table
        for key, stream in table.changed.items():  # also of those that were read: they may have changed since
            self._positions[key] = stream.position(stream.saved.offset, stream.saved.parser, None).encode()
        for key in table.forgotten:
            self._positions[key] = None
        for key, horizon in table.moved_horizons.items():
            self._positions[key] = horizon.encode() if horizon else None
        if table.forgotten:
            self._parsers = {stream: known for stream, known in self._parsers.items() if stream.key in table.streams}
            self._open.intersection_update(self._parsers)
            self._pieces.forget(table.streams)
        if table.next_serial != self._stored_serial:
            self._stored_serial = table.next_serial
            self._positions[SERIAL] = b"%d" % table.next_serial
        self._drops.update(table.drops)
        table.changed, table.forgotten, table.moved_horizons, table.drops = {}, [], {}, Counter()


def origin_of(stream: Stream) -> Origin:
    """Where the records of a content come from, in the terms of the OpenTelemetry semantic conventions (attributes `log.file.*`)."""
    attributes: dict[str, Value] = {
        "log.file.path": printable(stream.name),
        "log.file.name": printable(os.path.basename(stream.name)),
    }
    if stream.home != stream.name:
        attributes["log.file.path_resolved"] = printable(stream.home)
        attributes["log.file.name_resolved"] = printable(os.path.basename(stream.home))
    return Origin(stream.key, attributes, of_log_path(stream.name, stream.home))


def figures(tail: Tail, source: str) -> list[Observation]:
    """What is followed, and how far behind we are."""
    states = Counter(str(stream.state) for stream in tail.table.streams.values())
    followed = [Observation(FILES_FOLLOWED, states[state], {"source": source, "state": state}) for state in State]
    behind = sum(stream.lag() for stream in tail.table.streams.values() if stream.state is not State.LOST)
    return [*followed, Observation(FILES_OPEN, len(tail.pool), {"source": source}), Observation(BYTES_BEHIND, behind, {"source": source})]


def options(config: LogFiles.Config) -> Options:
    """What the configuration means to the follower."""
    roots = [os.path.realpath(glob_root(pattern)) for pattern in config.include]
    return Options(
        include=config.include,
        exclude=config.exclude,
        allowed_roots=(*roots, *map(os.path.realpath, config.allowed_roots)),
        from_end=config.start_at == "end",
        follow_rotated=config.follow_rotated,
        rotated_to=tuple(map(os.path.realpath, config.rotated_to)),
        poll_interval=config.poll_interval,
        max_line=config.max_line_bytes,
        max_open=config.max_open_files,
        gzip_limit=config.max_gzip_bytes,
        gzip_ratio=config.max_gzip_ratio,
        rotated_idle=config.rotated_idle,
        partial_idle=config.partial_idle,
        held_age=config.max_held_age,
        held_bytes=config.max_held_bytes,
    )
