"""Splits bytes into lines as they come, with the place of each. Pure."""

from __future__ import annotations


class LineSplitter:
    """One stream's bytes → lines, each with its offset in the stream.

    It holds what has no end yet, `longest` bytes at most, and copies each byte a fixed number of times however small the reads are.
    """

    def __init__(self, longest: int, end: bytes = b"\n") -> None:
        """`longest`: bytes; a longer line is cut into pieces of this size. `end`: one byte."""
        self.longest = longest
        self._end = end
        self._rest = bytearray()
        self._offset = 0
        self._cuts = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The lines that are complete now, without their ends, and pieces of one that is too long."""
        *whole, last = chunk.split(self._end)
        lines: list[tuple[int, bytes]] = []
        for line in whole:
            if self._rest or len(line) > self.longest:
                self._rest += line
                self._cut(lines)
                lines += self.finish()
            else:
                lines.append((self._offset, line))
                self._offset += len(line)
            self._offset += 1
        self._rest += last
        self._cut(lines)
        return lines

    def finish(self) -> list[tuple[int, bytes]]:
        """The last line, if it has no end."""
        if not self._rest:
            return []
        last = (self._offset, bytes(self._rest))
        self._offset += len(self._rest)
        self._rest.clear()
        return [last]

    def skip(self, size: int) -> None:
        """So many bytes never come; they follow what `finish` has returned."""
        self._offset += size

    def take_cuts(self) -> int:
        """How many cuts were made since the last call."""
        cuts, self._cuts = self._cuts, 0
        return cuts

    def _cut(self, lines: list[tuple[int, bytes]]) -> None:
        """Move pieces of a line that is too long to the lines. The last `longest` bytes stay: they may be its end."""
        while len(self._rest) > self.longest:
            lines.append((self._offset, bytes(self._rest[: self.longest])))
            del self._rest[: self.longest]
            self._offset += self.longest
            self._cuts += 1
