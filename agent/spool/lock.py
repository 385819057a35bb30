"""The lock file: one agent per state directory, and its name for a second one."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import NamedTuple

from agent.errors import SpoolLockedError


class Holder(NamedTuple):
    """The process that holds, or last held, a state directory."""

    pid: int
    host: str
    started: str
    """UTC, ISO 8601."""
    wal: bool = False
    """The spool's log exists while this is true: if it is gone at the next start, another process removed it."""
    spool: bool = False
    """A spool exists: if its file is gone or empty at the next start, stored rows are lost."""
    boot: str = ""
    """The kernel's id of that boot. While it is the same, no power cut has lost a write."""

    @property
    def has_not_lost_power(self) -> bool:
        """Whether the machine has certainly not been restarted since."""
        return self.boot != "" and self.boot == boot_id()


class Lock:
    """An exclusive `flock`, released by the kernel however the process ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock; SpoolLockedError names the holder."""
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(self._handle, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.before = read(self._handle)
            before = self.before or Holder(0, "", "")
            began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._me = Holder(os.getpid(), socket.gethostname(), began, spool=before.spool, boot=boot_id())
            self.mark(wal=before.wal)
        except BlockingIOError:
            message = describe(path, read(self._handle))
            self.release()
            raise SpoolLockedError(message) from None
        except BaseException:
            self.release()
            raise

    def mark(self, *, wal: bool) -> None:
        """Write our own name, and whether the log must exist; once it has, there is a spool."""
        self._me = self._me._replace(wal=wal, spool=self._me.spool or wal)
        text = json.dumps(self._me._asdict()).encode()
        os.pwrite(self._handle, text, 0)
        os.ftruncate(self._handle, len(text))

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read(handle: int) -> Holder | None:
    """Read the holder from an open lock file; None if it is not legible."""
    try:
        found = json.loads(os.pread(handle, 4096, 0))
        return Holder(
            int(found["pid"]),
            str(found["host"]),
            str(found["started"]),
            bool(found["wal"]),
            found.get("spool") is True,
            str(found.get("boot", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def boot_id() -> str:
    """Return the kernel's id of this boot (random(4)); empty where it is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def describe(path: Path, holder: Holder | None) -> str:
    """Return one sentence about the process that has the directory."""
    who = f"process {holder.pid} on {holder.host}, since {holder.started}" if holder else "another process"
    return f"{path.parent} is in use by {who}: stop it, or give this agent another state directory"
