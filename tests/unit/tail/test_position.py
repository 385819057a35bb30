"""The stored position."""

from __future__ import annotations

import tracemalloc

import pytest

from agent.sources import log_draft
from agent.tail.position import NOTHING, Cause, Digest, FilePlace, Horizon, Position, PositionError, decode
from tests.support.tail_rig import Rig

PLACE = FilePlace("/l/a\udcff.log.1.gz", 2**63, 2**40, 7, gzip=True)
FULL = Position(
    "/l/a.log", PLACE, 2**50, Digest.of(b"head"), Digest.of(b"tail"), 2**51, -5, True, b'{"format":"json"}', True, Cause.REMOVED
)


@pytest.mark.parametrize("position", [FULL, Position("/l/a.log", PLACE, 0), *[FULL._replace(cause=cause) for cause in Cause]])
def test_round_trip(position):
    """A stored position is read back as it was."""
    assert decode(position.encode()) == position


@pytest.mark.parametrize("data", [b"", b"x", FULL.encode()[:100], b"\x09" + FULL.encode()[1:]])
def test_garbage(data):
    """Bytes that are not a valid position are refused, never read as a beginning."""
    with pytest.raises(PositionError):
        decode(data)


def test_digest():
    """A digest fits its bytes and no others, not even fewer or more; nothing fits nothing."""
    assert Digest.of(b"ab").fits(b"ab")
    assert not any(Digest.of(b"ab").fits(data) for data in (b"", b"a", b"ac", b"abc"))
    assert Digest.of(b"") == NOTHING
    assert NOTHING.fits(b"")


def test_horizon():
    """Where our time begins at a live path is read back as it was, under a name that is text; garbage is refused."""
    horizon = Horizon("/l/a\udcff.log", -5)
    assert Horizon.decode(horizon.encode()) == horizon
    assert horizon.key.isascii()
    assert horizon.key != Horizon("/l/b.log", -5).key
    for data in (b"", b"12345678"):
        with pytest.raises(PositionError):
            Horizon.decode(data)


def test_what_is_remembered_of_a_file_is_small(tmp_path, monkeypatch):
    """A file that was read costs less than 6 KB of memory, what its parser has learned included."""
    monkeypatch.setattr(log_draft, "_PARSERS", 0)
    files = 100
    for number in range(files):
        (tmp_path / f"app-{number}.log").write_text("".join(f"file {number}, line {line} of it\n" for line in range(100)))
    rig = Rig(tmp_path, max_open_files=1)
    monkeypatch.setattr(rig, "commit", id)  # forgets it: records and positions belong to the spool
    tracemalloc.start()
    while rig.step():
        pass
    size = sum(trace.size for trace in tracemalloc.take_snapshot().traces)
    tracemalloc.stop()
    assert len(rig.tail.table.contents) == files
    rig.close()
    assert size / files < 6000
