r"""Bytes into lines. Pure.

Only `\n` ends a line: a lone `\r`, NEL or U+2028 inside a message does not. NUL bytes at the beginning of a line are a hole (a writer
that went on at its old offset after the file was truncated, a crash of the machine) and are skipped as one counted gap. Lines of UTF-16 and
UTF-32 come out as UTF-8; their offsets are those in the file.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from agent.tail.text_encoding import TextEncoding


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


def cut_wide(data: bytes, offset: int, most: int, encoding: TextEncoding) -> Cut:
    """As `cut`, of an encoding whose characters have several bytes."""
    lines: list[tuple[int, bytes]] = []
    begin = 0
    while len(lines) < most and (end := end_of_line(data, begin, encoding)):
        lines.append((offset + begin, as_utf8(data[begin : end - encoding.unit], encoding).removesuffix(b"\r")))
        begin = end
    return Cut(lines, begin, 0)


def end_of_line(data: bytes, begin: int, encoding: TextEncoding) -> int:
    """Behind the first line end from `begin` on, which is the beginning of a character; 0 = there is none."""
    at = data.find(encoding.newline, begin)
    while at >= 0 and (at - begin) % encoding.unit:
        at = data.find(encoding.newline, at + 1)
    return at + encoding.unit if at >= 0 else 0


def as_utf8(data: bytes, encoding: TextEncoding) -> bytes:
    r"""The same text in UTF-8, without a byte order mark; what is not text is written out as `\xNN`."""
    if encoding.unit == 1:
        return data
    return data.decode(encoding.name, "backslashreplace").removeprefix("\ufeff").encode("utf-8", "backslashreplace")


def skip_nuls(offset: int, line: bytes) -> tuple[int, bytes]:
    """The line without the NULs it begins with, and where it begins then."""
    bare = line.lstrip(b"\0")
    return offset + len(line) - len(bare), bare


def looks_finished(line: bytes) -> bool:
    """Whether a line without an end may be all there is: a JSON object that is not closed is certainly not."""
    bare = line.strip()
    return not bare.startswith((b"{", b"[{")) or bare.endswith((b"}", b"]"))
