"""The state directory: ours alone, and whatever lies in it is never followed elsewhere."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from agent.errors import SpoolError, UnavailableError
from agent.spool import state_dir
from agent.spool.file import SpoolFile
from agent.spool.spool import Spool
from agent.spool.values import Exposed, Misplaced, SalvageReport

NAMES = [
    "spool.db", "spool.db-wal", "spool.db-shm", "spool.db-journal", "spool.lock", "spool.ballast", "spool.salvage", "spool.salvage.new",
    "spool.salvaged", "spool.restored", "outrider.sock",
]  # fmt: skip


def plant(path, kind, target):
    """Put something else in the place of a file."""
    path.unlink(missing_ok=True)
    if kind == "directory":
        path.mkdir()
        (path / "content").touch()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(target if kind == "link" else target.with_name("nowhere"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "fifo"])
def test_what_lies_in_the_place_of_a_file_is_moved_and_never_followed(desk, tmp_path, name, kind):
    """A link, a directory or a FIFO under the name of one of our files is moved aside and reported; what it leads to is neither written nor made."""
    desk.register("a")
    desk.put(positions={"file": b"1"})
    desk.close()
    (victim := tmp_path / "victim").write_text("theirs")
    plant(desk.directory / name, kind, victim)
    desk.open()
    [event] = [event for event in desk.events if isinstance(event, Misplaced)]
    assert (event.path, os.path.lexists(event.moved_to)) == (desk.directory / name, True)
    assert victim.read_text() == "theirs"
    assert not victim.with_name("nowhere").exists()
    assert desk.put() == (1 if name == "spool.db" else 2)


def test_a_misplaced_link_is_moved_once(desk, tmp_path):
    """The next start finds nothing to report."""
    desk.close()
    plant(desk.directory / "spool.ballast", "link", tmp_path / "x")
    desk.open()
    desk.close()
    desk.open()
    assert desk.events == []


def test_a_link_in_the_place_of_the_ballast_is_not_followed_while_it_runs(desk, tmp_path):
    """Planted later, it is not written through either: the ballast is given up until the next start."""
    (victim := tmp_path / "victim").write_text("theirs")
    assert desk.file.home.ballast.drop()
    plant(desk.directory / "spool.ballast", "link", victim)
    assert not desk.file.home.ballast.take()
    assert victim.read_text() == "theirs"
    plant(desk.directory / "spool.ballast", "directory", victim)
    assert not desk.file.home.ballast.drop()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
async def test_every_file_is_its_owner_s_alone_whatever_the_umask(tmp_path, mask):
    """Files have mode 0600 and the directory 0700, those of a salvage too; directories above it that are made can't be written by others."""
    before = os.umask(mask)
    try:
        state = tmp_path / "above" / "state"
        if mask == 0o777:
            state.parent.mkdir()
            state.parent.chmod(0o755)
        await (await Spool.open(state)).close()
        with (state / "spool.db").open("r+b") as file:
            file.write(b"damaged")
        spool = await Spool.open(state)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
        await spool.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert any(name.startswith("spool.corrupt-") for name in modes)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert not stat.S_IMODE(state.parent.stat().st_mode) & 0o022


@pytest.mark.parametrize(("mode", "above", "reported"), [(0o777, 0o755, True), (0o770, 0o755, True), (0o1777, 0o755, True), (0o755, 0o755, False), (0o700, 0o777, True), (0o700, 0o1777, False)])  # fmt: skip
def test_a_directory_that_others_can_write_is_reported(tmp_path, mode, above, reported):
    """Where others can put files into the state directory, or another directory in its place, each start reports it."""
    state = tmp_path / "above" / "state"
    state.mkdir(parents=True)
    (state / "something").touch()
    state.chmod(mode)
    state.parent.chmod(above)
    for _ in range(2):
        file = SpoolFile.open(state, 64 << 20, threading.Event())
        events = [event for event in file.take_events() if isinstance(event, Exposed)]
        file.close()
        assert [event.directory for event in events] == [state] * reported


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_reported(tmp_path):
    """Its owner can replace everything in it."""
    state = tmp_path / "state"
    state.mkdir(0o700)
    os.chown(state, 12345, 12345)
    assert [event.reason for event in state_dir.prepare(state)] == ["it belongs to the user 12345"]


def test_a_volume_that_is_too_small_is_refused(tmp_path, monkeypatch):
    """Below the smallest supported volume the message says its size, and what it must have."""
    real = os.statvfs(tmp_path)

    class Small:
        f_frsize, f_blocks, f_bavail = 4096, 256, 200

    monkeypatch.setattr(os, "statvfs", lambda _path: Small)
    with pytest.raises(UnavailableError, match=r"1048576 bytes: give it at least 4194304 \(4 MiB\)"):
        SpoolFile.open(tmp_path / "state", 64 << 20, threading.Event())
    Small.f_blocks = state_dir.SMALLEST_VOLUME // 4096
    SpoolFile.open(tmp_path / "state", 64 << 20, threading.Event()).close()
    assert real.f_blocks


# --- a disk that fails at the start ----------------------------------------------------------------------------------------------------

CALLS = ["open", "pread", "pwrite", "ftruncate", "fsync", "statvfs", "rename"]


@pytest.fixture
def flaky(monkeypatch):
    """Has every system call on files fail with EIO from the n-th on, so many times."""

    def arrange(first, times, number=errno.EIO):
        seen = [0]

        def failing(real):
            def call(*args, **options):
                seen[0] += 1
                if first <= seen[0] < first + times:
                    raise OSError(number, os.strerror(number))
                return real(*args, **options)

            return call

        for name in CALLS:
            monkeypatch.setattr(os, name, failing(getattr(os, name)))
        return seen

    return arrange


@pytest.mark.parametrize("position", range(1, 26))
def test_one_error_of_the_disk_at_the_start_does_not_end_it(desk, flaky, monkeypatch, position):
    """Whichever call fails once with EIO, the spool opens with everything in it, and nothing is taken for damaged."""
    desk.register("a")
    desk.put(positions={"file": b"1"})
    desk.close()
    with monkeypatch.context():
        flaky(position, 1)
        desk.open()
    assert not [event for event in desk.events if isinstance(event, SalvageReport)]
    assert desk.drain("a") == [1]


def test_a_disk_that_fails_for_long_ends_the_start_in_bounded_time(tmp_path, flaky):
    """The error is the disk's own; no lock is left behind."""
    with pytest.MonkeyPatch.context():
        seen = flaky(1, 10**6)
        with pytest.raises((SpoolError, OSError), match="Input/output error"):
            SpoolFile.open(tmp_path / "state", 64 << 20, threading.Event())
        seen[0] = 10**7
        SpoolFile.open(tmp_path / "state", 64 << 20, threading.Event()).close()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG, errno.EMFILE])
def test_what_does_not_pass_is_said_at_once(tmp_path, flaky, number):
    """A directory that is not writable is tried once, as is one in which this process may not open or write more."""
    seen = flaky(1, 10**6, number)
    with pytest.raises(OSError, match=os.strerror(number)):
        SpoolFile.open(tmp_path / "state", 64 << 20, threading.Event(), patience=60.0)
    assert seen[0] < 5


def test_a_start_that_is_called_off_waits_no_longer(tmp_path, flaky):
    """Asked to end, it does not go on trying."""
    closing = threading.Event()
    closing.set()
    seen = flaky(1, 10**6)
    with pytest.raises(OSError, match="Input/output error"):
        SpoolFile.open(Path(tmp_path), 64 << 20, closing, patience=60.0)
    assert seen[0] < 5
