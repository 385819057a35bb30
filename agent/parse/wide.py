"""Text of UTF-16 and UTF-32 as UTF-8: of a stream that begins with a byte order mark, or line by line where there is none. Pure."""

from __future__ import annotations

import codecs
from typing import Final

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LONGEST: Final = 4
_FEWEST: Final = 8
"""Bytes of a line below which its encoding is not decided."""
_SHARE: Final = 0.6
"""Of its characters, at least, that have a NUL: in Latin letters all have."""


class Utf8Stream:
    """The bytes of one stream, as UTF-8 where a mark at its beginning says that they are something else."""

    def __init__(self) -> None:
        self._start = b""
        self._begun = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._unit = 1
        self._skip = 0

    def feed(self, data: bytes) -> bytes:
        """The next bytes. The first ones wait, as long as they may be a part of a mark."""
        if not self._begun:
            self._start += data
            if len(self._start) < _LONGEST and any(mark.startswith(self._start) for mark, _ in _MARKS):
                return b""
            data = self.end()
        if self._decoder is None:
            return data
        dropped, self._skip = min(self._skip, len(data)), max(self._skip - len(data), 0)
        return self._decoder.decode(data[dropped:]).encode()

    def end(self) -> bytes:
        """The waiting bytes, without a mark; half a character at the end is dropped."""
        if self._begun:
            return b""
        self._begun = True
        start, self._start = self._start, b""
        mark, name = next(((mark, name) for mark, name in _MARKS if start.startswith(mark)), (b"", ""))
        if name:
            self._decoder, self._unit = codecs.getincrementaldecoder(name)("replace"), len("\n".encode(name))
        return start[len(mark) :]

    def skip(self, size: int) -> None:
        """So many bytes are lost: continue with the next whole character."""
        if self._decoder is not None:
            half = self._decoder.getstate()[0]
            self._decoder.reset()
            self._skip = -(len(half) + size + self._skip) % self._unit


def unmarked(line: bytes) -> bytes | None:
    """A line of UTF-16 in a stream without a mark, cut at its line feeds' own bytes, as UTF-8; None if it does not look so.

    Of a line feed in two bytes the other one is left: before the next line in little-endian text, behind the same line in big-endian text.
    """
    whole = line if len(line) % 2 == 0 else line[1:] if line[:1] == b"\0" else line[:-1]
    first, second = whole[::2].count(b"\0"), whole[1::2].count(b"\0")
    if len(whole) < _FEWEST or min(first, second) or max(first, second) < _SHARE * len(whole) / 2:
        return None
    try:
        return whole.decode("utf-16-be" if first else "utf-16-le").encode()
    except UnicodeError:
        return None
