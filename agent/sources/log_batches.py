"""Batches of records, made of what a `Tail` reads: parses lines, ends records that are open for too long, and collects positions to store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.parse.limits import OPEN_AGE, TRUNCATED
from agent.record import Drop
from agent.sources.log_draft import BatchDraft, Parsers
from agent.sources.log_pieces import SplitLines
from agent.tail.table import SERIAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.columns import Records
    from agent.parse.lines import Parser
    from agent.record import Batch, Value
    from agent.sources.log_config import LogFilesConfig
    from agent.tail.content import Content
    from agent.tail.line_reader import Oversized, Piece
    from agent.tail.reader import ContentReader
    from agent.tail.tail import Tail

ROOM: Final = 256 * 1024
"""Bytes of a batch."""
MOST: Final = 1000
"""Lines of a batch."""
FEW: Final = 50
"""Records that wait for more."""
LINGER: Final = 0.2
"""Seconds that they wait."""
_SMALLEST: Final = 16 * 1024
"""Bytes: with less room left in a batch, the next file waits for the next batch."""
PARTIAL: Final = "log.partial"
"""Attribute, true on the two records of a line whose writer was silent in its middle."""


class Batches:
    """Without I/O of its own, and without waiting: `now` is monotonic seconds."""

    def __init__(self, tail: Tail, config: LogFilesConfig, wall_ns: Callable[[], int], *, linger: float = 0.0) -> None:
        """`linger`: seconds for which a few records wait for more."""
        self._tail = tail
        self._config = config
        self._wall_ns = wall_ns
        self._linger = linger
        self._draft = BatchDraft()
        self._parsers = Parsers(config.format)
        self._pieces = SplitLines(tail)
        self._open: set[Content] = set()
        """Streams whose parser holds an incomplete record."""
        self._scan_at = 0.0
        self._stored_serial = 0
        self._bytes_read = 0

    def next(self, now: float) -> Batch | None:
        """The next batch; None = there is nothing to store now."""
        if now >= self._scan_at:
            self._scan_at = now + self._config.poll_interval
            self._tail.scan(now)
        read = self._read()
        self._read_unended()
        for content in [one for one in self._open if not self._pieces.is_given(one)]:
            if not content.more and self._is_over(content):
                self._flush(content)
            elif content in read or not content.more:
                self._expire(content)
        self._parsers.spare(self._open)
        return None if self._lingers(now) else self._seal()

    def finish(self, *, writer_ended: bool = False) -> Batch | None:
        """A last batch: what is open, as complete as it is; if nothing continues with them, also last lines without an end."""
        if writer_ended:
            self._read_unended(at_once=True)
        for content in list(self._open):
            self._flush(content)
        return self._seal()

    def take_bytes_read(self) -> int:
        """Bytes read since the last call."""
        size, self._bytes_read = self._bytes_read, 0
        return size

    def _read(self) -> set[Content]:
        """Read as much as there is room for; which files were read."""
        read: set[Content] = set()
        room, most = ROOM, MOST
        while room > _SMALLEST and most > 0 and (got := self._tail.read(room, most)) is not None:
            crash_point("tail.after_read")
            self._add(*got)
            read.add(got[0])
            room -= got[1].size
            most -= len(got[1].lines)
        return read

    def _read_unended(self, *, at_once: bool = False) -> None:
        for content, piece, reader in self._tail.unended(at_once=at_once):
            self._add(content, piece, reader)

    def _add(self, content: Content, piece: Piece, reader: ContentReader) -> None:
        is_first = content.offset == piece.size
        if self._open:
            self._end_earlier(content, is_first=is_first)
        parser, _ = self._parsers.of(content)
        lines = piece.lines
        if piece.is_rest:
            self._add_marked(content, lines[:1], {PARTIAL: True})
            lines = lines[1:]
        if piece.oversized:
            self._add_oversized(content, lines, piece.oversized)
        elif piece.is_unended:
            self._add_marked(content, lines, {} if content.is_rotated else {PARTIAL: True})
        elif lines:
            self._parse(content, [*self._pieces.before(content, lines[0][0]), *lines] if is_first else lines)
        if piece.gaps:
            self._draft.drops[Drop.NUL_GAP] += piece.gaps
        self._bytes_read += piece.size
        self._store(content, parser, reader)

    def _parse(self, content: Content, lines: list[tuple[int, bytes]]) -> None:
        parser, origin = self._parsers.of(content)
        records, drops = parser.parse_chunk(lines, origin, self._wall_ns())
        self._draft.add(records, drops, parser.text)

    def _add_marked(self, content: Content, lines: list[tuple[int, bytes]], attributes: dict[str, Value]) -> None:
        """Add a line that is not like the others: whatever is open ends with it, and its record says what is special."""
        if lines:
            self._parse(content, lines)
            self._flush(content)
            self._draft.mark_last(attributes)

    def _add_oversized(self, content: Content, lines: list[tuple[int, bytes]], line: Oversized) -> None:
        before = self._draft.drops[Drop.OVERSIZED]
        self._add_marked(content, lines, {TRUNCATED: True, "log.line.length": line.length, "log.line.sha256": line.sha256})
        self._draft.drops[Drop.OVERSIZED] = before + 1  # once, whether the parser cut it again or not

    def _is_over(self, content: Content) -> bool:
        """Whether nothing more is expected for what is open: the last piece of a line may come as late as the end of a line."""
        silent = self._tail.silent_for(content)
        if silent < self._config.record_idle or not self._pieces.at_end(content, self._parsers.of(content)[0]):
            return silent >= self._config.record_idle
        idle = self._config.rotated_idle if content.is_rotated else self._config.partial_idle
        return 0 < idle <= silent

    def _flush(self, content: Content) -> None:
        parser, _ = self._parsers.of(content)
        self._give(content, parser, parser.flush(self._wall_ns(), written_ns=_written_ns(content)))

    def _expire(self, content: Content) -> None:
        """Close what is open for too long although its file grows.

        While the file has more to read, a short silence does not mean that a writer is silent: its next line may not be read yet.
        """
        age = max(OPEN_AGE, self._config.record_idle)
        parser, _ = self._parsers.of(content)
        quiet = age if content.more else self._config.record_idle
        if records := parser.expire(self._wall_ns(), quiet, age, written_ns=_written_ns(content)):
            self._give(content, parser, records)

    def _give(self, content: Content, parser: Parser, records: Records) -> None:
        """Add records that were open."""
        drops = parser.take_drops()
        if records:
            self._draft.add(records, drops, None)
        else:
            self._draft.drops.update(drops)
        self._store(content, parser, self._tail.pool.peek(content))

    def _end_earlier(self, content: Content, *, is_first: bool) -> None:
        """End the records that are open in earlier files, before this file's; but a line in pieces continues in this one."""
        for other in self._tail.table.earlier(content):
            if other in self._open and not self._pieces.is_given(other):
                if is_first and self._pieces.give(other, self._parsers.of(other)[0], content):
                    self._end_before_pieces(other)
                else:
                    self._flush(other)

    def _end_before_pieces(self, content: Content) -> None:
        """Give out the lines before the pieces at the end of a file before the record that the pieces become."""
        before, rest, _ = self._pieces.split(content, self._parsers.of(content)[0])
        if before:
            self._parsers.close_silently(content)
            self._parse(content, before)
            self._flush(content)
            self._parse(content, rest)
            self._store(content, self._parsers.of(content)[0], self._tail.pool.peek(content))

    def _end_owners(self, content: Content) -> None:
        """A line is whole that began in earlier files: what else is open there ends, too, and their positions move to their ends."""
        for owner in self._pieces.take_owners(content):
            if owner.key in self._tail.table.contents:
                _, _, others = self._pieces.split(owner, self._parsers.of(owner)[0])
                self._parsers.close_silently(owner)
                self._parse(owner, others)
                self._flush(owner)

    def _store(self, content: Content, parser: Parser, reader: ContentReader | None) -> None:
        incomplete = parser.open_offset()
        (self._open.discard if incomplete is None else self._open.add)(content)
        position = content.position(content.offset if incomplete is None else incomplete, parser.state(), reader)
        self._draft.positions[content.key] = position.encode()
        if position.offset:
            self._end_owners(content)

    def _lingers(self, now: float) -> bool:
        """Whether a few records wait for more: a trickle of lines is not one request for each. Positions have not moved, so a kill loses nothing."""
        draft = self._draft
        if draft.since is None and draft.records:
            draft.since = now
        return draft.since is not None and len(draft.records) < FEW and now - draft.since < self._linger

    def _seal(self) -> Batch | None:
        self._collect_changes()
        if batch := self._draft.batch():
            self._draft = BatchDraft()
        return batch

    def _collect_changes(self) -> None:
        table, positions = self._tail.table, self._draft.positions
        for key, content in table.changed.items():  # also of those that were read: they may have changed since
            positions[key] = content.position(content.saved.offset, content.saved.parser, None).encode()
        positions.update(dict.fromkeys(table.forgotten))
        for key, horizon in table.moved_horizons.items():
            positions[key] = horizon.encode() if horizon else None
        if table.forgotten:
            self._parsers.forget(table.contents)
            self._open = {content for content in self._open if content.key in table.contents}
            self._pieces.forget(table.contents)
        if table.next_serial != self._stored_serial:
            self._stored_serial = table.next_serial
            positions[SERIAL] = b"%d" % table.next_serial
        self._draft.drops.update(table.drops)
        table.changed, table.forgotten, table.moved_horizons, table.drops = {}, [], {}, Counter()


def _written_ns(content: Content) -> int:
    """When a file's last line was written, nanoseconds since the Unix epoch; 0 while there is more to read."""
    return 0 if content.more else content.read_mtime_ns
