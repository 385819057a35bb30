"""A batch that is being filled, and the parsers that fill it."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Final

from agent.columns import Records
from agent.names import LOG_FILE_PATH
from agent.parse.lines import Parser
from agent.record import Batch, Origin
from agent.resource import of_log_path
from agent.tail.names import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.parse.format_name import FormatName
    from agent.record import Value
    from agent.tail.stream import Stream

_PARSERS: Final = 1000
"""Parsers kept; those of more files are made again and again."""


class Draft:
    """Records, positions and drops of the next batch."""

    def __init__(self) -> None:
        self.records = Records()
        self.positions: dict[str, bytes | None] = {}
        """By key; None = it is deleted."""
        self.drops: Counter[str] = Counter()
        self.since: float | None = None
        """When the first record was read, monotonic seconds; None = there is none yet."""
        self._texts: list[bytes | None] = []

    def add(self, records: Records, drops: Mapping[str, int], text: bytes | None) -> None:
        """Add records, with the bytes that they were made of if these are known (see `Batch.text`)."""
        self.records += records
        self.drops.update(drops)
        self._texts.append(text)

    def mark_last(self, attributes: Mapping[str, Value]) -> None:
        """Give the last record more attributes."""
        if self.records and attributes:
            last = self.records[-1]
            self.records.replace_last(last._replace(attributes={**last.attributes, **attributes}))

    def batch(self) -> Batch | None:
        """The batch; None if nothing is to be stored."""
        if not self.records and not self.positions and not self.drops:
            return None
        text = None if None in self._texts else b"\n".join(filter(None, self._texts))
        return Batch(self.records, self.positions, dict(self.drops), text=text)


class Parsers:
    """The parser and the origin of each content."""

    def __init__(self, format: FormatName) -> None:  # noqa: A002 - as in the configuration
        self._format = format
        self._known: dict[Stream, tuple[Parser, Origin]] = {}

    def of(self, stream: Stream) -> tuple[Parser, Origin]:
        """They are made from the stored position where they are not at hand."""
        known = self._known.get(stream)
        if known is None:
            state = stream.saved.parser
            parser = Parser.from_state(state, self._format) if state else Parser(self._format)
            known = self._known[stream] = parser, origin_of(stream)
        return known

    def close_silently(self, stream: Stream) -> tuple[Parser, Origin]:
        """A parser that has learned the same, with nothing open."""
        parser, origin = self.of(stream)
        known = self._known[stream] = Parser.from_state(parser.state(), self._format), origin
        return known

    def spare(self, kept: Collection[Stream]) -> None:
        """Keep only these if there are many: what the others have learned is in their positions."""
        if len(self._known) > _PARSERS:
            self._known = {stream: known for stream, known in self._known.items() if stream in kept}

    def forget(self, streams: Mapping[str, Stream]) -> None:
        """Keep only those of known contents."""
        self._known = {stream: known for stream, known in self._known.items() if stream.key in streams}


def origin_of(stream: Stream) -> Origin:
    """Where the records of a content come from, in the terms of the OpenTelemetry semantic conventions (attributes `log.file.*`)."""
    attributes: dict[str, Value] = {
        LOG_FILE_PATH: printable(stream.name),
        "log.file.name": printable(os.path.basename(stream.name)),
    }
    if stream.home != stream.name:
        attributes["log.file.path_resolved"] = printable(stream.home)
        attributes["log.file.name_resolved"] = printable(os.path.basename(stream.home))
    return Origin(stream.key, attributes, of_log_path(stream.name, stream.home))
