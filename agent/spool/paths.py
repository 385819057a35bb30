"""Names in the state directory, and how files are made, found and removed there: without following links, and for their owner alone."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "spool.db"
LOCK_FILE: Final = "spool.lock"
BALLAST_FILE: Final = "spool.ballast"
RESTORED: Final = "spool.restored"
MARKER: Final = "spool.salvage"
FRESH: Final = "spool.salvaged"
HISTORY: Final = "history.db"
SOCKET: Final = "outrider.sock"


def make(directory: Path) -> None:
    """Make the directory with mode 0700; an empty one gets it too. One that holds something keeps its mode: it may be `/tmp`."""
    for above in reversed(directory.parents):
        if not above.exists():
            above.mkdir(mode=0o755)
    try:
        directory.mkdir()
        directory.chmod(0o700)  # whatever the umask is
    except FileExistsError:
        with contextlib.suppress(PermissionError):  # the root of a volume may belong to another user
            if not any(directory.iterdir()):
                directory.chmod(0o700)


def free_name(directory: Path, form: str) -> Path:
    """Return a free path with the present time in its name; `form` has `{}` in the time's place."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    numbered = (stamp, *(f"{stamp}.{number}" for number in range(1, 1000)))
    return next(path for path in (directory / form.format(one) for one in numbered) if not is_there(path))


def create(path: Path, content: bytes = b"") -> None:
    """Create a file that only its owner may read, whatever the umask is; SQLite gives its log the same mode. OSError if there is one."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(handle, 0o600)
        os.write(handle, content)
    finally:
        os.close(handle)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_there(path: Path) -> bool:
    """Whether the name exists, also as a dangling link."""
    return os.path.lexists(path)


def remove(path: Path) -> bool:
    """Remove a file; return whether one was removed."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def size(path: Path) -> int:
    """Return the bytes of a file; 0 where that is unknown."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0
