from __future__ import annotations

import gzip
import zlib

import pytest

from agent.net.decode import BodyTooLargeError, Inflater


def _feed(coding: str, data: bytes, limit: int = 1000, size: int = 7) -> bytes:
    inflater = Inflater(coding, limit)
    for start in range(0, len(data), size):
        inflater.feed(data[start : start + size])
    return inflater.finish()


@pytest.mark.parametrize("coding", ["", "identity"])
def test_plain_bodies_pass(coding):
    """Without a coding the body is what came."""
    assert _feed(coding, b"x" * 1000) == b"x" * 1000


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
def test_gzip_is_unpacked(coding):
    """A gzip body is unpacked however it is cut into pieces, and so are several members in a row."""
    assert _feed(coding, gzip.compress(b"ab") + gzip.compress(b"cd"), size=1) == b"abcd"


def test_deflate_is_unpacked():
    """Content-Encoding deflate is the zlib format (RFC 9110 section 8.4.1.2)."""
    assert _feed("deflate", zlib.compress(b"abc")) == b"abc"


@pytest.mark.parametrize("coding", ["", "gzip", "deflate"])
def test_empty_bodies_are_empty(coding):
    """An empty body is valid, whatever its coding."""
    assert _feed(coding, b"") == b""


def test_the_bound_is_exact_for_plain_bodies():
    """A body of exactly the limit passes; one byte more does not."""
    assert len(_feed("", b"x" * 100, limit=100)) == 100
    with pytest.raises(BodyTooLargeError):
        _feed("", b"x" * 101, limit=100)


def test_the_bound_is_exact_for_unpacked_bodies():
    """The same holds for the size after unpacking."""
    assert len(_feed("gzip", gzip.compress(b"x" * 100), limit=100)) == 100
    with pytest.raises(BodyTooLargeError):
        _feed("gzip", gzip.compress(b"x" * 101), limit=100)


def test_a_bomb_is_not_unpacked():
    """A small body that would unpack to 100 MB stops at the limit; at no time is more than that in memory."""
    inflater = Inflater("gzip", 100_000)
    with pytest.raises(BodyTooLargeError):
        inflater.feed(gzip.compress(bytes(100_000_000), 9))
    assert len(inflater._body) <= 100_000


def test_a_flood_of_nothing_is_bounded_too():
    """Packed bytes count even if they unpack to nothing: empty members one after the other."""
    with pytest.raises(BodyTooLargeError):
        _feed("gzip", gzip.compress(b"") * 100, limit=1000)


@pytest.mark.parametrize(
    ("coding", "data", "what"),
    [
        ("gzip", b"not gzip", "header"),
        ("gzip", gzip.compress(b"abc", mtime=0)[:-4], "ends in the middle"),
        ("gzip", gzip.compress(b"abc", mtime=0) + b"trailing", "header"),
        ("deflate", b"\xff\xff\xff", "header"),
        ("br", b"abc", "unknown Content-Encoding 'br'"),
        ("zstd, gzip", b"abc", "unknown Content-Encoding"),
    ],
)
def test_what_cannot_be_unpacked_is_said(coding, data, what):
    """A damaged or unknown coding is a ValueError that names the trouble."""
    with pytest.raises(ValueError, match=what):
        _feed(coding, data)
