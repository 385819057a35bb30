"""The lock file: one agent per state directory, and its name for whoever comes second."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import SpoolLockedError

if TYPE_CHECKING:
    from pathlib import Path


class Holder(NamedTuple):
    """Who holds, or last held, a state directory."""

    pid: int
    host: str
    started: str
    """UTC, ISO 8601."""
    wal: bool = False
    """The spool's log exists while this is true: if it is gone at the next start, somebody took it."""


class Lock:
    """An exclusive `flock`, released by the kernel however the process ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock; SpoolLockedError names the holder."""
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = describe(path, read(self._handle))
            os.close(self._handle)
            raise SpoolLockedError(message) from None
        self.before = read(self._handle)
        self._me = Holder(os.getpid(), socket.gethostname(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self.mark(wal=False if self.before is None else self.before.wal)

    def mark(self, *, wal: bool) -> None:
        """Write who we are, and whether the log must exist."""
        text = json.dumps(self._me._replace(wal=wal)._asdict()).encode()
        os.pwrite(self._handle, text, 0)
        os.ftruncate(self._handle, len(text))

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read(handle: int) -> Holder | None:
    """Read who is named in an open lock file; None if nobody legible is."""
    try:
        found = json.loads(os.pread(handle, 4096, 0))
        return Holder(int(found["pid"]), str(found["host"]), str(found["started"]), bool(found["wal"]))
    except (ValueError, KeyError, TypeError):
        return None


def describe(path: Path, holder: Holder | None) -> str:
    """Say in one sentence who has the directory."""
    who = f"process {holder.pid} on {holder.host}, since {holder.started}" if holder else "another process"
    return f"{path.parent} is in use by {who}: stop it, or give this agent another state directory"
