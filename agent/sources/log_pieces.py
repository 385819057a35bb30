"""Pieces of a line that stand in two files, because a container's runtime rotated in its middle: the last of one, the first of the next.

A runtime cuts long lines into pieces (`agent.parse.containers`). The pieces at the end of a file that was rotated away are given to the
parser of its successor, before what that begins with. The position of the first file stays before them until the line is whole: then both
positions move in one batch, so that a kill in between repeats and loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.parse.containers import unfinished

if TYPE_CHECKING:
    from agent.parse.lines import Parser
    from agent.tail.content import Content
    from agent.tail.tail import Tail


class SplitLines:
    """The pieces that wait for their last one, by the file whose parser has them."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._known: dict[Content, tuple[int, list[bytes]]] = {}
        """The pieces at the ends of files, and how far the files were read then."""
        self._given: dict[Content, list[bytes]] = {}
        """Pieces from files before this one, that its parser has."""
        self._owners: dict[Content, list[Content]] = {}
        """The files in which those stand."""

    def at_end(self, content: Content, parser: Parser) -> list[bytes]:
        """The pieces that a file ends with: empty if what is open there is something else."""
        known = self._known.get(content)
        if known is None or known[0] != content.offset:
            lines = [*self._given.get(content, ()), *(line for _, line in self.open_lines(content, parser))]
            known = content.offset, [lines[at] for at in unfinished(lines)]
            if lines:
                self._known[content] = known
        return known[1]

    def split(self, content: Content, parser: Parser) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        """The lines of a file that are not in a record yet: before the pieces at its end, from there on, and those without the pieces."""
        lines = self.open_lines(content, parser)
        pieces = unfinished([line for _, line in lines])
        first = pieces[0] if pieces else len(lines)
        return lines[:first], lines[first:], [one for at, one in enumerate(lines) if at >= first and at not in pieces]

    def open_lines(self, content: Content, parser: Parser) -> list[tuple[int, bytes]]:
        """The lines of a file that are not in a record yet."""
        start = parser.open_offset()
        text = b"" if start is None else self._tail.text(content, start)
        lines, at = [], start or 0
        for line in text.splitlines(keepends=True):
            lines.append((at, line.rstrip(b"\r\n")))
            at += len(line)
        return lines

    def give(self, content: Content, parser: Parser, successor: Content) -> bool:
        """Give what a file ends with to its successor, of which nothing was read yet; whether there is something."""
        pieces = self.at_end(content, parser)
        if pieces:
            self._given.pop(content, None)  # they are among these
            self._given.setdefault(successor, []).extend(pieces)
            self._owners.setdefault(successor, []).extend([*self._owners.pop(content, []), content])
        return bool(pieces)

    def is_given(self, content: Content) -> bool:
        """Whether what a file ends with waits in the parser of its successor."""
        return any(content in owners for owners in self._owners.values())

    def before(self, content: Content, offset: int) -> list[tuple[int, bytes]]:
        """The pieces that were given to a file, as lines at an offset."""
        return [(offset, line) for line in self._given.get(content, ())]

    def take_owners(self, content: Content) -> list[Content]:
        """A line is whole, or given up: the files in which its first pieces stand."""
        self._given.pop(content, None)
        owners = self._owners.pop(content, [])
        for owner in owners:
            self._known.pop(owner, None)
        return owners

    def forget(self, contents: dict[str, Content]) -> None:
        """Only these are known yet."""
        self._known = {content: known for content, known in self._known.items() if content.key in contents}
