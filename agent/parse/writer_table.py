"""The table of writers. One that a prefix names is in it only as long as something of it is open."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from agent.parse.dialect import UNKNOWN, KnownFormat
from agent.parse.parser_state import MAIN, NOTHING, Key, key_of, name_of
from agent.parse.writer import Writer
from agent.parse.writer_stream import WriterStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.parse.writer_stream import Item

_MAX_WRITERS: Final = 8_192
"""Writers with something open; one more, and what the one has open that has said nothing for the longest time is given out as incomplete."""


class WriterTable(dict[Key, Writer]):
    """Key → writer, in the order in which they wrote last. `given`: the format that a person named for the lines themselves; empty: none."""

    def __init__(self, given: str, streams: Iterable[tuple[str, KnownFormat]]) -> None:
        super().__init__()
        self.given = given
        for name, known in (*NOTHING.streams, *streams):
            self[key_of(name)] = Writer(self._stream(key_of(name), known))

    @property
    def streams(self) -> tuple[tuple[str, KnownFormat], ...]:
        """The known formats at the position."""
        return tuple((name_of(key), writer.known()) for key, writer in self.items() if not key[1] or writer.limit() is not None)

    @property
    def waiting(self) -> int:
        """How many records wait behind an open one."""
        return sum([len(writer.waiting) for writer in self.values()])

    def of(self, key: Key) -> Writer:
        """The writer, who is the last of the table now."""
        writer = self.pop(key, None) if key[1] else self.get(key)
        if writer is None:
            writer = Writer(self._stream(key, UNKNOWN))
            if len(self) >= _MAX_WRITERS:
                self._give_up_oldest()
        self[key] = writer
        return writer

    def opened(self, stream: str, name: str) -> Writer | None:
        """A writer, while something of it is open: others are forgotten at the next release, whenever that is."""
        writer = self.get((stream, name))
        return writer if writer is not None and writer.stream.open_offset is not None else None

    def open_offset(self) -> int | None:
        """Offset of the oldest line that is needed again."""
        return min([at for writer in self.values() if (at := writer.limit()) is not None], default=None)

    def open_text(self) -> list[bytes] | None:
        """The lines of all open records; None if they are not at hand as they were written."""
        if any(writer.waiting or (key[1] and writer.stream.open_lines) for key, writer in self.items()):
            return None
        return [line for writer in self.values() for line in writer.stream.open_lines]

    def needed(self) -> list[int]:
        """Offsets of the lines that are in no record yet."""
        return [offset for writer in self.values() if (at := writer.limit()) is not None for offset in writer.lines if offset >= at]

    def take(self) -> list[Item]:
        """The complete records that are not behind an open record of its own writer, in the order of the file."""
        if len(self) == 1:
            return self[MAIN].take()
        return sorted([item for writer in self.values() for item in writer.take()], key=attrgetter("offset"))

    def forget(self) -> list[Key]:
        """Drop who has nothing open and is known by a prefix only."""
        idle = [key for key, writer in self.items() if key[1] and writer.limit() is None]
        for key in idle:
            del self[key]
        return idle

    def _stream(self, key: Key, known: KnownFormat) -> WriterStream:
        if not key[1]:
            return WriterStream(known, fixed=bool(self.given))
        fixed = self.given not in ("", "syslog")
        return WriterStream(KnownFormat(self.given) if fixed else known, fixed=fixed, prefixed=True)

    def _give_up_oldest(self) -> None:
        """Too many have something open: the one that has said nothing for the longest time has most likely said all."""
        oldest = next((writer for key, writer in self.items() if key[1] and writer.stream.open_offset is not None), None)
        if oldest is not None:
            oldest.stream.give_up()
