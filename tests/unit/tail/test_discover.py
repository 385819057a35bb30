"""Directories and names."""

from __future__ import annotations

import os

import pytest

from agent.tail.discover import Globs, Listing, Listings


def test_listing_is_read_only_when_needed(tmp_path, monkeypatch):
    """A directory whose time stamp did not change since the tick of its last change was over is not read again."""
    times = iter((0.0, 0.1))
    os.utime(tmp_path, ns=(5, 5))
    listing = Listing(str(tmp_path), lambda: next(times))
    assert listing.refresh()
    assert not listing.refresh()
    monkeypatch.setattr(os, "scandir", None)
    assert not listing.refresh()


@pytest.mark.parametrize(("stamp", "tick"), [(1_700_000_000_123_000_000, 0.02), (1_700_000_000_000_000_000, 2.0)])
def test_listing_sees_what_comes_in_the_same_tick(tmp_path, stamp, tick):
    """A file that is made in the tick in which the directory was read twice already is seen by the next scan, also where ticks are seconds."""
    now = 0.0
    listing = Listing(str(tmp_path), lambda: now)
    for name in ("a.log", "b.log", "c.log"):
        (tmp_path / name).touch()
        os.utime(tmp_path, ns=(stamp, stamp))
        assert listing.refresh()
        assert not listing.refresh()
        now += tick * 0.3
    assert sorted(listing.entries) == ["a.log", "b.log", "c.log"]


def test_listing_sees_changes(tmp_path):
    """Names that come and go are seen; a directory that is gone has no entries, and may come back."""
    listing = Listing(str(tmp_path / "d"))
    assert not listing.refresh()
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.log").touch()
    assert listing.refresh()
    assert listing.entries["a.log"].is_file
    (tmp_path / "d/a.log").unlink()
    (tmp_path / "d").rmdir()
    assert listing.refresh()
    assert listing.entries == {}


def test_unreadable_directory_keeps_its_entries(tmp_path, monkeypatch):
    """A directory that cannot be read now is not empty."""
    (tmp_path / "a.log").touch()
    listing = Listing(str(tmp_path))
    listing.refresh()

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(os, "stat", refuse)
    assert not listing.refresh()
    assert "a.log" in listing.entries
    assert isinstance(listing.error, PermissionError)


def test_rotated(tmp_path):
    """Rotated names are found by what they were rotated from."""
    for name in ("a.log", "a.log.1", "a.log.2.gz", "b.log"):
        (tmp_path / name).touch()
    listing = Listing(str(tmp_path))
    listing.refresh()
    assert sorted(listing.rotated()["a.log"]) == ["a.log.1", "a.log.2.gz"]


def test_directories(tmp_path):
    """A search goes into directories as deep as the glob does, through links only where the depth is bounded."""
    (tmp_path / "x/y").mkdir(parents=True)
    os.symlink(tmp_path, tmp_path / "x/loop")
    found = {listing.path for listing in Globs([f"{tmp_path}/**/*.log"], []).directories(Listings())}
    assert found == {str(tmp_path), f"{tmp_path}/x", f"{tmp_path}/x/y"}
    found = {listing.path for listing in Globs([f"{tmp_path}/*/*.log"], []).directories(Listings())}
    assert found == {str(tmp_path), f"{tmp_path}/x"}
    found = {listing.path for listing in Globs([f"{tmp_path}/*/*/*.log"], []).directories(Listings())}
    assert f"{tmp_path}/x/loop" in found


def test_forgets_directories(tmp_path):
    """A directory that is not scanned any more is not kept."""
    listings = Listings()
    listings.refreshed(str(tmp_path))
    listings.begin()
    listings.begin()
    assert listings._known == {}
