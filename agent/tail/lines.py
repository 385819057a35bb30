r"""Bytes into lines. Pure.

Only `\n` ends a line: a lone `\r`, NEL or U+2028 inside a message does not. NUL bytes at the beginning of a line are a hole (a writer
that went on at its old offset after the file was truncated, a crash of the machine) and are skipped as one counted gap.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple


class Cut(NamedTuple):
    """Whole lines from the beginning of a buffer."""

    lines: list[tuple[int, bytes]]
    """(offset, line without its end)."""
    consumed: int
    """Bytes up to and with the last line's end; 0 = no line ends here."""
    gaps: int
    """Runs of NULs skipped."""


def cut(data: bytes, offset: int, most: int) -> Cut:
    """Cut at most `most` lines off `data`, which begins at `offset` and at the beginning of a line."""
    end = data.rfind(b"\n") + 1
    if not end:
        return Cut([], 0, 0)
    pieces = data[:end].split(b"\n", most)
    rest = pieces.pop()  # empty, or what is over `most` lines
    consumed = end - len(rest)
    lines = list(zip(accumulate([len(piece) + 1 for piece in pieces], initial=offset), pieces, strict=False))
    if b"\r\n" in data:
        lines = [(at, line[:-1]) if line.endswith(b"\r") else (at, line) for at, line in lines]
    if b"\0" not in data:
        return Cut(lines, consumed, 0)
    gaps = sum(line.startswith(b"\0") for _, line in lines)
    return Cut([skip_nuls(at, line) for at, line in lines] if gaps else lines, consumed, gaps)


def skip_nuls(offset: int, line: bytes) -> tuple[int, bytes]:
    """The line without the NULs it begins with, and where it begins then."""
    bare = line.lstrip(b"\0")
    return offset + len(line) - len(bare), bare


def looks_finished(line: bytes) -> bool:
    """Whether a line without an end may be all there is: a JSON object that is not closed is certainly not."""
    bare = line.strip()
    return not bare.startswith((b"{", b"[{")) or bare.endswith((b"}", b"]"))
