"""The spool under faults from below: kills at every named point, a failing disk, a full disk."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.agent_process import AgentProcess, environment, wait_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
WRITER = ROOT / "tests" / "torture" / "spool_writer.py"
MIB = 1 << 20


def write(state: Path, count: int, *, quota: int = 64 * MIB, preexec=None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the writer once."""
    command = [sys.executable, str(WRITER), str(state), str(count), str(quota)]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False, preexec_fn=preexec)


def finish(state: Path, count: int, **options) -> str:
    """Run the writer without faults until it is done and return what it said."""
    done = write(state, count, **options)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    return done.stderr


def check(state: Path, count: int) -> None:
    """Every number was delivered, in order, from one row each: repeats are the same row and the same bytes."""
    rows = defaultdict(set)
    for line in (state.parent / "delivered").read_text().splitlines():
        number, *row = line.split()
        rows[int(number)].add(tuple(row))
    assert list(rows) == list(range(count))
    assert {number: found for number, found in rows.items() if len(found) > 1} == {}


APPEND = ["before_begin", "after_begin", "after_insert", "after_position", "after_ledger", "before_commit", "after_commit"]
SETTLE = ["before_settle", "after_settle_cursor", "after_settle_ledger", "after_settle_delete"]


@pytest.mark.parametrize("point", [*APPEND, *SETTLE, "before_checkpoint", "after_checkpoint"])
def test_killed_at_a_point_nothing_is_lost_or_repeated(tmp_path, point):
    """Killed at the same point at several passages, each row is stored exactly once and the account balances."""
    state, count = tmp_path / "state", 1200 if "checkpoint" in point else 200
    for passage in (1, 1) if "checkpoint" in point else (1, 2, 30):
        killed = write(state, count, OUTRIDER_FAULT=f"spool.{point}:{passage}")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    finish(state, count)
    check(state, count)


def test_killed_while_the_first_file_is_made(tmp_path):
    """Killed within the very first migration, the next start makes the file."""
    killed = write(tmp_path / "state", 10, OUTRIDER_FAULT="spool.migrate:1")
    assert killed.returncode == -signal.SIGKILL
    finish(tmp_path / "state", 10)
    check(tmp_path / "state", 10)


@pytest.mark.parametrize("point", ["salvage_moved", "salvage_rows", "salvage_done"])
def test_killed_during_salvage_it_is_taken_up_again(tmp_path, point):
    """A salvage that was interrupted is finished at the next start: all rows are saved once."""
    state = tmp_path / "state"
    assert write(state, 100, OUTRIDER_FAULT="spool.after_commit:60").returncode == -signal.SIGKILL
    damage_header(state)
    killed = write(state, 100, OUTRIDER_FAULT=f"spool.{point}:1")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    finish(state, 100)
    check(state, 100)
    assert not (state / "spool.salvage").exists()


def damage_header(state: Path) -> None:
    """Zero the file's header, its log written back before."""
    import apsw

    connection = apsw.Connection(str(state / "spool.db"))
    connection.pragma("user_version")  # SQLite notices the log only once it has read the file
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()
    with (state / "spool.db").open("r+b") as file:
        file.write(bytes(100))


CROWDED = """
import asyncio, os, sys
from pathlib import Path
from agent.record import Payload, Signal
from agent.spool.spool import Spool

async def main():
    spool = await Spool.open(Path(sys.argv[1]), quota_bytes=2 << 20)
    await spool.register("sink", [Signal.METRICS])
    while (number := int((await spool.positions("child")).get("next", b"0"))) < 150:
        payload = Payload(Signal.METRICS, 1, os.urandom(30_000))
        await spool.append("child", [payload], {"next": b"%d" % (number + 1)}, {}, replayable=False)
    ledger = await spool.ledger()
    (line,) = ledger.lines
    await spool.close()
    print(line.accepted, line.evicted > 0, line.pending > 0, len(ledger.violations()))

asyncio.run(main())
"""

DRAINED = """
import os, sys, threading
from pathlib import Path
from agent.record import Owner, Payload, Signal
from agent.spool import ledger, positions, rows
from agent.spool.checksum import pack
from agent.spool.file import SpoolFile
from agent.spool.maintenance import Maintenance

file = SpoolFile.open(Path(sys.argv[1]), 64 << 20, threading.Event())
file.write([lambda tables: tables.register("sink", ["metrics"])])
while (number := int(positions.read(file.tables.connection, Owner.SOURCE, "f").get("next", b"0"))) < 200:
    packed = [pack(Payload(Signal.METRICS, 1, os.urandom(30_000)))]
    file.write([lambda tables: tables.append("f", packed, {"next": b"%d" % (number + 1)}, {}, replayable=True)])
while (row := file.tables.next_row("sink", "metrics")) is not None:
    file.write([lambda tables: tables.settle("sink", row, 1, 0, [])])
maintenance = Maintenance(file)
maintenance.untidy = True
while maintenance.untidy:
    maintenance.look_after(idle=True)
account = ledger.read(file.tables.connection)
file.close()
size = (Path(sys.argv[1]) / "spool.db").stat().st_size
print(account.lines[0].accepted, account.lines[0].sent, size < 1 << 20, len(account.violations()))
"""


@pytest.mark.parametrize(
    ("program", "point", "said"),
    [
        (CROWDED, "before_evict", "150 True True 0"),
        (CROWDED, "after_evict", "150 True True 0"),
        (DRAINED, "before_vacuum", "200 200 True 0"),
        (DRAINED, "after_vacuum", "200 200 True 0"),
    ],
)
def test_killed_while_making_room_the_account_stays_right(tmp_path, program, point, said):
    """Killed within an eviction or while the file is shortened, every row is still accounted for exactly once."""

    def run(**environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, str(tmp_path / "state")]
        env = {"PYTHONPATH": str(ROOT), **environ}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)

    for passage in (1, 2):
        assert run(OUTRIDER_FAULT=f"spool.{point}:{passage}").returncode == -signal.SIGKILL
    done = run()
    assert done.stdout.strip() == said, done.stderr


@pytest.fixture(scope="session")
def shim(tmp_path_factory) -> str:
    """Compile the library that makes the disk fail."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile the failing disk with")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/torture/shim.c", "-ldl"], check=True, timeout=60)
    return str(library)


def failing(shim: str, call: str, at: int, times: int = 1, code: int = errno.EIO) -> dict[str, str]:
    """Return the environment in which the at-th call of a kind on the spool's files fails."""
    return {
        "LD_PRELOAD": shim,
        "SHIM_PATH": "/state/spool.db",
        "SHIM_CALL": call,
        "SHIM_AT": str(at),
        "SHIM_TIMES": str(times),
        "SHIM_ERRNO": str(code),
    }


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8, 13, 20])
@pytest.mark.parametrize(
    ("call", "code"),
    [("fsync", errno.EIO), ("write", errno.EIO), ("write", 0), ("write", errno.ENOSPC), ("write", errno.EDQUOT), ("read", errno.EIO)],
)
def test_one_failing_call_is_survived(tmp_path, shim, call, code, at):
    """One call that fails, wherever it falls, neither ends the agent nor loses nor repeats a row; a start may fail with a clear error."""
    state = tmp_path / "state"
    done = write(state, 120, **failing(shim, call, at, code=code))
    if done.returncode:
        assert "SpoolError" in done.stderr, done.stderr
    finish(state, 120)
    check(state, 120)


@pytest.mark.parametrize(("call", "at"), [("fsync", 12), ("write", 90), ("write", 400)])
def test_a_disk_that_fails_for_a_while_is_waited_for(tmp_path, shim, call, at):
    """While calls fail the agent goes on trying; once they succeed it goes on where the file says, within the same run."""
    state = tmp_path / "state"
    finish(state, 150, **failing(shim, call, at, times=12))
    check(state, 150)


def test_file_size_limit_is_a_full_disk(tmp_path):
    """A limit on the size of files (seen by SQLite as a failing write) makes the spool full, not broken: it waits and drains."""
    limit = 3 * MIB

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    state = tmp_path / "state"
    finish(state, 1500, preexec=limited)
    check(state, 1500)
    assert (state / "spool.db").stat().st_size <= limit


@pytest.fixture
def small_disk(tmp_path, request):
    """Mount a disk of 6 MiB, or of another size."""
    mount = tmp_path / "disk"
    mount.mkdir()
    options = f"size={getattr(request, 'param', '6m')}"
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], check=False, timeout=30).returncode:
        pytest.skip("no permission to mount a small tmpfs")
    yield mount
    subprocess.run(["umount", mount], check=True, timeout=30)


def test_full_disk_is_waited_for(small_disk):
    """On a disk that another program fills and empties again, the agent stays up and stores everything once."""
    filler, hold = small_disk / "filler", small_disk / "hold"
    finish(small_disk / "state", 50)
    hold.touch()
    free = os.statvfs(small_disk).f_bavail * 4096
    filler.write_bytes(bytes(free - 40960))
    running = subprocess.Popen(
        [sys.executable, str(WRITER), str(small_disk / "state"), "500", str(64 * MIB)],
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(3)
            filler.unlink()
            hold.unlink()
            said, events = running.communicate(timeout=40)
        finally:
            running.kill()
    assert said == "done\n", events
    assert "the disk is full" in events
    check(small_disk / "state", 500)


@pytest.fixture
def quota_disk(tmp_path):
    """Mount a disk on which a quota of 12 MiB is reached long before the disk is full: writes fail with EDQUOT, and statvfs(3) shows nothing."""
    if os.geteuid() != 0 or not shutil.which("mkfs.btrfs"):
        pytest.skip("only root can mount a disk with a quota, made with btrfs-progs")
    image, mount = tmp_path / "image", tmp_path / "quota"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * MIB)
    made = ["mkfs.btrfs", "-q", image], ["mount", "-o", "loop", image, mount]
    if any(subprocess.run(command, check=False, timeout=60, capture_output=True).returncode for command in made):
        pytest.skip("no permission to mount an image, or no btrfs")
    volume = mount / "volume"
    try:
        for command in (["quota", "enable", mount], ["subvolume", "create", volume], ["qgroup", "limit", "12M", volume]):
            subprocess.run(["btrfs", *command], check=True, timeout=60, capture_output=True)
        yield volume
    finally:
        subprocess.run(["umount", mount], check=True, timeout=60)


def test_a_used_up_quota_is_waited_for(quota_disk, tmp_path):
    """EDQUOT is a full disk: the agent stays up and says so; when the quota is raised, all that waited is stored, each once."""
    (hold := quota_disk / "hold").touch()
    command = [sys.executable, str(WRITER), str(quota_disk / "state"), "3000", str(64 * MIB)]
    events = tmp_path / "events"
    with (
        events.open("w") as log,
        subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=log, text=True) as running,
    ):
        try:
            wait_until(lambda: "the disk is full" in events.read_text(), "a used up quota", 60)
            assert running.poll() is None
            subprocess.run(["btrfs", "qgroup", "limit", "128M", quota_disk], check=True, timeout=60, capture_output=True)
            hold.unlink()
            said, _ = running.communicate(timeout=90)
        finally:
            running.kill()
    assert said == "done\n", events.read_text()
    check(quota_disk / "state", 3000)


def test_a_start_on_a_read_only_disk_says_so(small_disk):
    """The start ends with the reason; when the disk can be written again, everything goes on where it was."""
    finish(small_disk / "state", 50)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=30)
    refused = write(small_disk / "state", 100)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True, timeout=30)
    assert refused.returncode != 0
    assert "Read-only file system" in refused.stderr
    finish(small_disk / "state", 100)
    check(small_disk / "state", 100)


@pytest.fixture
def failing_disk(tmp_path):
    """Mount a disk that the kernel turns read-only at the first error of its file system; yields the mount and what makes the error."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("only root can mount a disk with a file system of its own, made with e2fsprogs")
    image, mount = tmp_path / "image", tmp_path / "state"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    made = ["mkfs.ext4", "-q", image], ["mount", "-o", "loop,errors=remount-ro", image, mount]
    if any(subprocess.run(command, check=False, timeout=60, capture_output=True).returncode for command in made):
        pytest.skip("no permission to mount an image, or no ext4")
    device = subprocess.run(["findmnt", "-no", "SOURCE", mount], capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    trigger = Path("/sys/fs/ext4") / device.rpartition("/")[2] / "trigger_fs_error"
    try:
        if not trigger.exists():
            pytest.skip("this kernel can't be asked for an error of a file system")
        yield mount, trigger, image
    finally:
        subprocess.run(["umount", mount], check=True, timeout=60)


def test_a_disk_that_turns_read_only_loses_nothing(failing_disk):
    """While the kernel refuses every write the agent stays up and says why; on the repaired disk each row is stored once."""
    state, trigger, image = failing_disk
    delivered = state.parent / "delivered"
    command = [sys.executable, str(WRITER), str(state), "1500", str(64 * MIB)]
    running = subprocess.Popen(
        command, env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with running:
        try:
            wait_until(lambda: delivered.exists() and delivered.stat().st_size > 2000, "rows that are delivered")
            trigger.write_text("test")
            with pytest.raises(OSError, match="Read-only"):
                (state / "probe").touch()
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(3)
        finally:
            running.kill()
        said = running.stderr.read()
    assert "DEGRADED" in said
    subprocess.run(["umount", state], check=True, timeout=60)
    subprocess.run(["e2fsck", "-pf", image], check=False, timeout=60, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, state], check=True, timeout=60)
    assert len(delivered.read_text().splitlines()) < 1500
    finish(state, 1500)
    check(state, 1500)


@pytest.mark.parametrize("small_disk", ["4m", "5m"], indirect=True)
def test_the_smallest_volume_that_fills_in_an_outage_recovers(small_disk):
    """On the smallest supported volume a backlog that fills it is delivered once the destination is back, and all that waited comes after it."""
    hold = small_disk / "hold"
    hold.touch()
    command = [sys.executable, str(WRITER), str(small_disk / "state"), "1500", str(64 * MIB)]
    running = subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(4)
            hold.unlink()
            said, events = running.communicate(timeout=60)
        finally:
            running.kill()
    assert said == "done\n", events
    check(small_disk / "state", 1500)


@pytest.mark.parametrize("small_disk", ["1m"], indirect=True)
def test_a_volume_that_is_too_small_ends_the_start(small_disk, tmp_path):
    """The agent says which size the volume has and which it must have, with the exit code of what can't be had."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", "run"],
        env=environment(small_disk / "state"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 69
    assert "has 1048576 bytes: give it at least 4194304 (4 MiB)" in done.stderr


def test_a_full_disk_is_said_while_it_is_full(small_disk, tmp_path):
    """The status says within seconds that nothing is stored, and why, as `spool stat` does; once there is room everything is."""
    log = tmp_path / "app.log"
    log.write_text("first\n")
    with AgentProcess(small_disk / "state", OUTRIDER_LOG_FILES=str(log)) as agent:
        wait_until(lambda: agent.status()["sources"][0]["accepted"] == 1, "the first record")
        (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 8192))
        with log.open("a") as file:
            file.writelines(f"{number} {os.urandom(400).hex()}\n" for number in range(9000))
        wait_until(lambda: agent.status()["spool"]["state"] == "degraded", "the state", 5)
        status = agent.status()
        stat = subprocess.run(
            [sys.executable, "-m", "agent", "spool", "stat", "--state-dir", small_disk / "state"],
            env=environment(small_disk / "state"),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert status["spool"]["reason"] == "the disk is full"
        assert status["verdict"]["health"] == "not ready"
        assert "the disk is full" in stat.stdout
        (small_disk / "filler").unlink()
        wait_until(lambda: agent.status()["sources"][0]["accepted"] == 9001, "everything stored after all", 30)


BROKEN = """
from agent.cli import main
from agent.spool.maintenance import Maintenance

def fail(self, *, idle):
    if self._file.tables.last_seq:
        raise KeyError("a mistake")

Maintenance.look_after = fail
main()
"""


def test_an_agent_whose_store_ends_ends_too(tmp_path):
    """A programming error in the spool's thread ends the agent at once, with a message and an exit code; the next agent continues."""
    log = tmp_path / "app.log"
    log.write_text('{"event": "one"}\n')
    variables = {"OUTRIDER_LOG_FILES": str(log)}
    command = [sys.executable, "-c", BROKEN, "run"]
    done = subprocess.run(
        command, env=environment(tmp_path / "state", **variables), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 70, done.stderr
    assert "outrider: the spool's thread has ended: KeyError: 'a mistake'" in done.stderr
    with log.open("a") as file, AgentProcess(tmp_path / "state", **variables) as agent:
        file.write('{"event": "two"}\n')
        file.flush()
        wait_until(lambda: agent.status()["sources"][0]["accepted"] == 2, "both records are stored, each once")
