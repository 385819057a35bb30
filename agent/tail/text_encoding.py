"""The encoding of a text file, by its first bytes, or why it is not text. Pure.

A byte order mark announces UTF-16 and UTF-32 (Unicode, section 23.8); everything else is read as UTF-8. Compressed and binary files are recognised by the
numbers at their beginning (file(1) knows them as well), or by what text does not hold.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.parse.wide import unmarked

INSPECTED: Final = 1024
"""Bytes from the beginning that are looked at."""
_FEWEST: Final = 64
"""Bytes below which a file without such a number is taken for text."""
_MARKS: Final = ((b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_COMPRESSED: Final = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x5d\0\0", "lzma"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"LZIP\x01", "lzip"),
    (b"\x89LZO\0", "lzop"),
    (b"\xff\x06\0\0sNaPpY", "snappy"),
    (b"\x1f\x9d", "compress"),
    (b"Rar!\x1a\x07", "rar"),
)
_BINARY: Final = (
    b"\x7fELF",
    b"\x89PNG\r\n",
    b"SQLite format 3\0",
    b"LPKSHHRH",
    b"\xca\xfe\xba\xbe",
    b"\xff\xd8\xff",
    b"\xd4\xc3\xb2\xa1",
    b"%PDF-",
)
_TEXT_CONTROLS: Final = b"\t\n\v\f\r\b\a\x1b"
_NOT_TEXT: Final = bytes(byte for byte in range(32) if byte not in _TEXT_CONTROLS) + b"\x7f"
_HIGH: Final = bytes(range(128, 256))
_SHARE: Final = 0.3


class TextEncoding(NamedTuple):
    """How characters are written: `unit` bytes are the least."""

    name: str
    unit: int
    newline: bytes


UTF_8: Final = TextEncoding("utf-8", 1, b"\n")


def encoding_of(start: bytes) -> TextEncoding:
    """The encoding of a content that begins so."""
    name = next((name for mark, name in _MARKS if start.startswith(mark)), "")
    return TextEncoding(name, len("\n".encode(name)), "\n".encode(name)) if name else UTF_8


def not_text(start: bytes) -> str:
    """The reason why a file that begins so does not hold lines; empty if it does. NULs at its beginning may be a hole that text follows."""
    if start.startswith(b"BZh") and start[4:10] == b"1AY&SY":
        return "is compressed with bzip2, which is not unpacked"
    for number, name in _COMPRESSED:
        if start.startswith(number):
            return (
                "is compressed with gzip, but its name does not end in .gz"
                if name == "gzip"
                else f"is compressed with {name}, which is not unpacked"
            )
    if encoding_of(start) is UTF_8 and unmarked(start[: len(start) & ~1].partition(b"\n")[0]) is not None:
        return "looks like UTF-16 without a byte order mark: have it written as UTF-8, or with the mark"
    if start.startswith(_BINARY) or _looks_binary(start):
        return "is binary, not text"
    return ""


def _looks_binary(start: bytes) -> bool:
    is_marked = encoding_of(start) is not UTF_8
    start = start.rstrip(b"\0")  # room that is allocated and not yet written
    if len(start) < _FEWEST or start[:1] == b"\0" or is_marked:
        return False
    controls = len(start) - len(start.translate(None, _NOT_TEXT))
    return controls > _SHARE * len(start) or _looks_random(start)


def _looks_random(start: bytes) -> bool:
    """Whether bytes are as evenly spread as in compressed content: control characters beside characters that are not ASCII."""
    controls = len(start) - len(start.translate(None, _NOT_TEXT[1:]))  # NULs may be a hole in a text
    others = len(start) - len(start.translate(None, _HIGH))
    return controls > 0.04 * len(start) and others > 0.25 * len(start)
