"""Bytes as they come → whole lines with their offsets. Pure."""

from __future__ import annotations


class LineCutter:
    """Cuts lines. What has no line end yet waits inside, up to the longest line."""

    def __init__(self, longest: int) -> None:
        """`longest`: bytes; a longer line is cut into pieces of this size."""
        self.longest = longest
        self._rest = b""
        self._offset = 0
        self._cut = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The lines that are complete now."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        lines = [piece for line in whole for piece in self._pieces(line, 1)]
        while len(self._rest) > self.longest:
            self._cut += 1
            lines.append(self._line(self._rest[: self.longest], 0))
            self._rest = self._rest[self.longest :]
        return lines

    def end(self) -> list[tuple[int, bytes]]:
        """The last line, if it had no line end."""
        rest, self._rest = self._rest, b""
        return self._pieces(rest, 0) if rest else []

    def skip(self, size: int) -> None:
        """So many bytes will never come, right behind what `end` has returned."""
        self._offset += size

    def take_cut(self) -> int:
        """How many cuts were made since the last call."""
        cut, self._cut = self._cut, 0
        return cut

    def _pieces(self, line: bytes, end: int) -> list[tuple[int, bytes]]:
        """A line, in pieces if it is too long; `end` bytes of line end follow it."""
        if len(line) <= self.longest:
            return [self._line(line, end)]
        pieces = [line[at : at + self.longest] for at in range(0, len(line), self.longest)]
        self._cut += len(pieces) - 1
        return [self._line(piece, end if index == len(pieces) - 1 else 0) for index, piece in enumerate(pieces)]

    def _line(self, line: bytes, end: int) -> tuple[int, bytes]:
        offset = self._offset
        self._offset += len(line) + end
        return offset, line
