"""The first bytes of a file give its encoding; compressed and binary files are reported."""

from __future__ import annotations

import bz2
import codecs
import lzma
import zlib

import pytest

from agent.tail.lines import cut_wide
from agent.tail.text_encoding import encoding_of, not_text
from tests.support.tail_rig import Rig

TEXT = "2026-11-22 10:00:00,123 ERROR shop.pay: carte refusée 🂡\r\nnext \u0a0a \u010a line\n"
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
PACKED = {
    "xz": lzma.compress(b"x" * 99),
    "bzip2": bz2.compress(b"x" * 99),
    "zstd": b"\x28\xb5\x2f\xfd\x04\x58\x01\x02",
    "lz4": b"\x04\x22\x4d\x18\x64\x40",
    "zip": b"PK\x03\x04\x14\0\0\0",
    "7z": b"7z\xbc\xaf\x27\x1c\0\x04",
    "gzip": b"\x1f\x8b\x08\0" + zlib.compress(b"x"),
}


@pytest.mark.parametrize("name", MARKS)
@pytest.mark.parametrize("kills", [False, True])
def test_a_file_is_read_in_the_encoding_that_its_mark_names(tmp_path, name, kills):
    """Lines are whole, as text, in any order of bytes, however they are written and whenever the agent is killed."""
    written = MARKS[name] + TEXT.encode(name)
    log = tmp_path / "a.log"
    rig = Rig(tmp_path)
    for at in range(0, len(written), 7):
        with log.open("ab") as file:
            file.write(written[at : at + 7])
        rig.step()
        if kills:
            rig.restart()
    rig.drain()

    assert rig.bodies() == ["2026-11-22 10:00:00,123 ERROR shop.pay: carte refusée 🂡", "next \u0a0a \u010a line"]
    assert (rig.drops, rig.events) == ({}, ["found"] if "found" in rig.events else rig.events)


def test_what_is_there_at_the_first_start_may_be_passed_over(tmp_path):
    """Where reading begins at the end, it begins with a whole character."""
    log = tmp_path / "a.log"
    log.write_bytes(codecs.BOM_UTF16_LE + "old\n".encode("utf-16-le"))
    rig = Rig(tmp_path, start_at="end")
    rig.drain()
    with log.open("ab") as file:
        file.write("new é\n".encode("utf-16-le"))

    assert rig.drain() == ["new é"]


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_a_long_line_and_one_without_an_end_are_cut_at_characters(tmp_path, name):
    """The beginning of a line over the limit, and the last line when its writer is silent."""
    log = tmp_path / "a.log"
    log.write_bytes(MARKS[name] + ("é" * 40_000 + "\nlast").encode(name))
    rig = Rig(tmp_path, max_line_bytes="16KiB")
    for _ in range(20):
        rig.step(10.0)
    bodies = rig.bodies()

    assert [body[:4] for body in bodies] == ["éééé", "last"]
    assert set(bodies[0]) == {"é"}


def test_half_a_character_is_not_an_end():
    """A newline's bytes across two characters do not end a line."""
    encoding = encoding_of(codecs.BOM_UTF16_LE)
    data = "\u0a00\u000a".encode("utf-16-le")

    assert cut_wide(data, 2, 10, encoding).lines == [(2, "\u0a00".encode())]


@pytest.mark.parametrize("name", PACKED)
def test_a_compressed_file_is_reported_and_not_read(tmp_path, name):
    """Once, by its name, with what it is: its bytes are not lines. What lies beside it is read."""
    (tmp_path / f"a.log.2.{name}-packed").write_bytes(PACKED[name])
    (tmp_path / "a.log").write_text("live\n")
    rig = Rig(tmp_path, "a.log*")

    assert rig.drain() == ["live"]
    rig.restart()
    rig.drain()

    assert rig.bodies() == ["live"]
    assert rig.events.count("not_text") == 2  # once in each life
    assert [(path, refusal.event) for path, refusal in rig.tail.table.unreadable] == [
        (str(tmp_path / f"a.log.2.{name}-packed"), "not_text")
    ]
    assert name in not_text(PACKED[name])


@pytest.mark.parametrize(
    "start",
    [
        b"\x7fELF\x02\x01",
        b"SQLite format 3\0",
        b"\x02\0\0\0\x01\0\0\0" * 48,
        b"x" + bytes(range(256)) + b"\x01" * 200,
        zlib.compress(bytes(range(256)) * 2 + b"".join(n.to_bytes(4, "big") for n in range(0, 9**9, 1_234_567))),
    ],
)
def test_a_binary_file_is_reported(start):
    """Programs, databases, login records."""
    assert not_text(start) == "is binary, not text"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["shelf counted by Ann\r\n", "größter Vorrat\n"])
def test_utf_16_without_a_mark_is_named(encoding, text):
    """The reason says what to do about it."""
    assert "UTF-16 without a byte order mark" in not_text((text * 10).encode(encoding))


@pytest.mark.parametrize(
    "start",
    [
        b"", b"x", b"\0" * 1000, b"\0" * 500 + b"text behind a hole\n" * 20, "日本語\n".encode() * 50, "caf\xe9\n".encode("latin-1") * 50,
        b"\x1b[31mred\x1b[0m\r\n" * 30, "\u0436".encode("koi8-r") * 99, b"\0" * 70 + "\u65e5\u672c\n".encode() * 50, b"BZh is a name\n", b"PK is another\n", b"a\0b\n" * 30, *[mark + b"x" for mark in MARKS.values()],
    ],
)  # fmt: skip
def test_text_is_text(start):
    """Of any encoding, with holes, colours and a stray NUL."""
    assert not_text(start) == ""
