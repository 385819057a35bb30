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
    from agent.tail.content import Content

_PARSERS: Final = 1000
"""Parsers kept; those of more files are made again and again."""


class BatchDraft:
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
        """The batch; None if nothing must be stored."""
        if not self.records and not self.positions and not self.drops:
            return None
        text = None if None in self._texts else b"\n".join(filter(None, self._texts))
        return Batch(self.records, self.positions, dict(self.drops), text=text)


class Parsers:
    """The parser and the origin of each content."""

    def __init__(self, format: FormatName) -> None:  # noqa: A002 - as in the configuration
        self._format = format
        self._known: dict[Content, tuple[Parser, Origin]] = {}

    def of(self, content: Content) -> tuple[Parser, Origin]:
        """They are made from the stored position where they are not at hand."""
        known = self._known.get(content)
        if known is None:
            state = content.saved.parser
            parser = Parser.from_state(state, self._format) if state else Parser(self._format)
            known = self._known[content] = parser, origin_of(content)
        return known

    def close_silently(self, content: Content) -> tuple[Parser, Origin]:
        """A parser that has learned the same, with nothing open."""
        parser, origin = self.of(content)
        known = self._known[content] = Parser.from_state(parser.state(), self._format), origin
        return known

    def spare(self, kept: Collection[Content]) -> None:
        """Keep only these if there are many: what the others have learned is in their positions."""
        if len(self._known) > _PARSERS:
            self._known = {content: known for content, known in self._known.items() if content in kept}

    def forget(self, contents: Mapping[str, Content]) -> None:
        """Keep only those of known contents."""
        self._known = {content: known for content, known in self._known.items() if content.key in contents}


def origin_of(content: Content) -> Origin:
    """Where the records of a content come from, in the terms of the OpenTelemetry semantic conventions (attributes `log.file.*`)."""
    attributes: dict[str, Value] = {
        LOG_FILE_PATH: printable(content.name),
        "log.file.name": printable(os.path.basename(content.name)),
    }
    if content.live_path != content.name:
        attributes["log.file.path_resolved"] = printable(content.live_path)
        attributes["log.file.name_resolved"] = printable(os.path.basename(content.live_path))
    return Origin(content.key, attributes, of_log_path(content.name, content.live_path))
