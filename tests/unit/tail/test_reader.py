"""Contents by offset."""

from __future__ import annotations

import gzip
import os
import struct

import pytest

from agent.tail.reader import WINDOW, ContentReader, GzipReader

LINES = b"".join(b"line %d\n" % number for number in range(100_000))


@pytest.fixture
def packed(tmp_path, open_files):
    """Makes readers of compressed bytes."""
    readers = []

    def make(data: bytes, limit: int = 1 << 40, ratio: int = 1000) -> GzipReader:
        path = tmp_path / str(len(readers))
        path.write_bytes(data)
        readers.append(GzipReader(os.open(path, os.O_RDONLY), limit, ratio))
        return readers[-1]

    yield make
    for one in readers:
        one.close()


def everything(reader: GzipReader, offset: int = 0) -> bytes:
    """Read to the end."""
    pieces = []
    while data := reader.read(offset, 50_000):
        pieces.append(data)
        offset += len(data)
    return b"".join(pieces)


@pytest.mark.parametrize(
    "data",
    [gzip.compress(LINES), gzip.compress(LINES[:99_999]) + gzip.compress(LINES[99_999:]), gzip.compress(LINES) + bytes(512)],
    ids=["one member", "two members", "padding"],
)
def test_whole(packed, data):
    """Members follow one another; padding is not content."""
    reader = packed(data)
    assert everything(reader) == LINES
    assert reader.finished()
    assert not reader.damage


def test_back_and_forth(packed):
    """Any offset can be read, also one that lies behind."""
    reader = packed(gzip.compress(LINES))
    for offset in (500_000, 10, 900_000, 899_000, 0):
        assert reader.read(offset, 100) == LINES[offset : offset + 100]
    assert reader.remembers(0)
    reader.read(900_000, 1)
    assert not reader.remembers(900_000 - 2 * WINDOW - 300_000)


def test_advance(packed):
    """The way to a far offset is gone in steps; beyond the end there is nowhere to go."""
    reader = packed(gzip.compress(LINES))
    steps = [reader.advance(900_000, 300_000) for _ in range(3)]
    assert steps[0] is False
    assert steps[-1] is True
    assert reader.advance(10**9, 1 << 30)


def test_growing(packed, tmp_path):
    """An incomplete file ends early, and continues when there is more."""
    data = gzip.compress(LINES)
    reader = packed(data[:1000])
    first = everything(reader)
    assert LINES.startswith(first)
    assert not reader.finished()
    (tmp_path / "0").write_bytes(data)
    assert first + everything(reader, len(first)) == LINES


@pytest.mark.parametrize("data", [b"", b"\x1f"])
def test_empty(packed, data):
    """A file that is being created has no content yet, and is not finished."""
    reader = packed(data)
    assert everything(reader) == b""
    assert not reader.finished()


def test_no_gzip(packed):
    """A file that is not gzip is reported."""
    reader = packed(b"something else")
    assert everything(reader) == b""
    assert reader.damage


def test_damaged(packed):
    """The bytes before the damage are given out."""
    data = bytearray(gzip.compress(LINES[:100]) + gzip.compress(LINES))
    data[-6] ^= 1
    reader = packed(bytes(data))
    assert everything(reader).startswith(LINES[:100])
    assert reader.finished()
    assert reader.damage


@pytest.mark.parametrize("lines", [10, 100_000])
@pytest.mark.parametrize("at", [-6, -2], ids=["checksum", "size"])
@pytest.mark.parametrize("before", [b"", LINES], ids=["first", "second"])
def test_wrong_checksum(packed, lines, at, before):
    """Where only the checksum or the size at the end is wrong, everything is given out, and reported as damaged."""
    content = LINES[: LINES.index(b"line %d\n" % lines)] if lines < 100_000 else LINES
    member = bytearray(gzip.compress(content))
    member[at] ^= 1
    reader = packed((gzip.compress(before) if before else b"") + bytes(member) + gzip.compress(b"behind"))
    assert everything(reader) == before + content
    assert "checksum" in reader.damage
    assert reader.read(0, 10) == LINES[:10]
    assert everything(reader) == before + content


def test_damaged_in_the_middle(packed):
    """The bytes before one that can't be decoded are given out, also where they are in the same step."""
    header, block = gzip.compress(b"")[:10], b"\0" + struct.pack("<HH", 40_000, 40_000 ^ 0xFFFF) + LINES[:40_000]
    reader = packed(header + block + b"\7 no type of block" + bytes(5000))
    assert everything(reader) == LINES[:40_000]
    assert reader.finished()
    assert reader.damage


def test_bomb(packed):
    """A content that is far larger than its file, or than the limit, is not read to its end."""
    bomb = gzip.compress(bytes(20_000_000), 9)
    for reader in (packed(bomb, ratio=100), packed(bomb, limit=5_000_000)):
        assert len(everything(reader)) < 10_000_000
        assert reader.is_bomb


def test_plain(tmp_path, open_files):
    """A plain file is read anywhere; holes are distinguished from data."""
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.write(b"a")
        file.seek(1 << 20)
        file.write(b"b")
    reader = ContentReader(os.open(path, os.O_RDONLY))
    assert reader.read(1 << 20, 10) == b"b"
    assert reader.next_data(0) == 0
    assert reader.next_data(65536) == 1 << 20
    assert reader.next_data(2 << 20) is None
    assert not reader.finished()
    reader.close()
