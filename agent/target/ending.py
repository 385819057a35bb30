"""How a process ends that is not our child: what the kernel tells a bystander.

Since Linux 6.15 a pidfd that was opened while the process lived tells its wait status for good (ioctl PIDFD_GET_INFO, include/uapi/linux/pidfd.h).
Before, the status can be read only while the process waits for its parent (a zombie: field 52 of /proc/PID/stat, proc_pid_stat(5)), and only by a
process that may trace it: usually the parent is quicker. An unknown value is None, never a guess.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Final, NamedTuple

from agent.target.oom import memory_events, oom_kills

PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_INFO: Final = struct.Struct("=QQ11Ii")
"""pidfd_info as first published: mask, cgroup, eleven ids, exit code."""
_GET_INFO: Final = 3 << 30 | _INFO.size << 16 | 0xFF << 8 | 11
"""_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)."""
_EXIT: Final = 1 << 3
"""PIDFD_INFO_EXIT."""
_PTRACE: Final = 1 << 19
"""CAP_SYS_PTRACE."""


class Stat(NamedTuple):
    """The fields of /proc/PID/stat."""

    name: str
    zombie: bool
    parent: int
    start: int
    """Clock ticks since the boot: with the pid, what a process is known by."""
    status: int
    """The wait status of a zombie; 0 as well if we may not know it."""


class How(NamedTuple):
    """How a process has ended."""

    status: int | None
    """As waitpid(2) gives it; None if it can't be known any more."""
    oom_kills: int = 0
    """Kills by the kernel that its cgroup has counted since the last check."""


def read_stat(pid: int, proc: Path = PROC) -> Stat | None:
    """A process as it is now; None if there is none."""
    try:
        return parse_stat((proc / str(pid) / "stat").read_bytes())
    except OSError:
        return None


def parse_stat(content: bytes) -> Stat | None:
    """Take the line apart; the name may hold blanks and parentheses. None if it is cut off."""
    head, _, rest = content.rpartition(b")")
    fields = rest.split()
    if len(fields) < 20:
        return None
    status = int(fields[49]) if len(fields) > 49 else 0
    return Stat(head.partition(b"(")[2].decode("utf-8", "replace"), fields[0] in (b"Z", b"X"), int(fields[1]), int(fields[19]), status)


def began_ns(start: int, now_ns: int) -> int:
    """When a process began that started so many clock ticks after the boot, nanoseconds since the Unix epoch."""
    return now_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + start * 10**9 // _TICKS


def pidfd_status(fd: int) -> int | None:
    """The wait status of the process behind a pidfd, also after its parent has had it; None where the kernel can't tell."""
    buffer = bytearray(_INFO.pack(_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(fd, _GET_INFO, buffer)
    except OSError:
        return None
    mask, *_, status = _INFO.unpack_from(buffer)
    return status if mask & _EXIT else None


def may_trace(pid: int, proc: Path = PROC) -> bool:
    """Whether a status of 0 means that it is 0: of others' processes the kernel shows 0 to a process that may not trace them."""
    try:
        own = (proc / str(pid)).stat().st_uid == os.geteuid()
        capabilities = next(
            line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("CapEff:")
        )
    except (OSError, StopIteration):
        return False
    return own or bool(int(capabilities.split()[1], 16) & _PTRACE)


class Watch:
    """One process, from now to its end. `how` is None while it lives."""

    def __init__(self, pid: int, start: int, proc: Path = PROC) -> None:
        """`start` in clock ticks since the boot: a process that has the number at another start is a different one."""
        self.pid = pid
        self.start = start
        self.how: How | None = None
        self.proc = proc
        self._memory = memory_events(pid, proc=proc, bystander=True)
        self._kills = oom_kills(self._memory)
        self._fd = self._open()

    def _open(self) -> int | None:
        """A pidfd; none of a process in another machine's or container's table, whose numbers are not ours."""
        if self.proc != PROC:
            return None
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(self.pid)
            if self._lives():
                return fd
            os.close(fd)
        return None

    def fileno(self) -> int | None:
        """The descriptor that becomes readable when the process ends; None if it has none and must be polled."""
        return self._fd

    def look(self) -> int:
        """See whether it has ended, and how; return the OOM kills since the last check if it lives on.

        Look again at one that has ended for reasons unknown: what a zombie hides is known when its parent has waited for it.
        """
        if self.how is not None and self.how.status is not None:
            return 0
        ended, status = self._ended()
        kills = self._killed()
        if ended:
            self.how = How(status, kills + (self.how.oom_kills if self.how else 0))
        return 0 if ended else kills

    def _ended(self) -> tuple[bool, int | None]:
        stat = read_stat(self.pid, self.proc)
        zombie = stat is not None and stat.start == self.start and stat.zombie
        if stat is not None and stat.start == self.start and not zombie:
            return False, None
        known = pidfd_status(self._fd) if self._fd is not None else None
        if known is None and zombie and stat is not None and (stat.status or may_trace(self.pid, self.proc)):
            known = stat.status
        return True, known

    def _lives(self) -> bool:
        stat = read_stat(self.pid, self.proc)
        return stat is not None and stat.start == self.start

    def _killed(self) -> int:
        """OOM kills since the last check. A cgroup that went away with its process can't be asked any more."""
        count = oom_kills(self._memory)
        before, self._kills = self._kills, self._kills if count is None else count
        return max(0, (self._kills or 0) - (before or 0))

    def close(self) -> None:
        """Let go of it; idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
