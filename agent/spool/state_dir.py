"""The state directory: made for us alone, its files opened without following links, and what lies in their place moved out of the way."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import TYPE_CHECKING, Final

from agent.errors import UnavailableError
from agent.spool.values import Exposed, Misplaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.spool.values import SpoolEvent

FILE: Final = "spool.db"
LOCK_FILE: Final = "spool.lock"
BALLAST_FILE: Final = "spool.ballast"
RESTORED: Final = "spool.restored"
MARKER: Final = "spool.salvage"
FRESH: Final = "spool.salvaged"
SOCKET: Final = "outrider.sock"
_DATABASES: Final = (FILE, RESTORED, FRESH)
_FILES: Final = (
    *_DATABASES,
    *(f"{name}{suffix}" for name in _DATABASES for suffix in ("-wal", "-shm", "-journal")),
    *(LOCK_FILE, BALLAST_FILE, MARKER, f"{MARKER}.new"),
)
SMALLEST_VOLUME: Final = 4 << 20
"""Bytes: in a smaller one the file, its log and the ballast get into each other's way."""
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def prepare(directory: Path) -> list[SpoolEvent]:
    """Make the directory ready to be used; return what is to be reported of it. OSError; UnavailableError: the volume is too small."""
    make(directory)
    status = os.statvfs(directory)
    size = status.f_blocks * status.f_frsize
    if 0 < size < SMALLEST_VOLUME:
        raise UnavailableError(
            f"the volume of the state directory {directory} has {size} bytes: give it at least {SMALLEST_VOLUME} (4 MiB), better 128 MiB"
        )
    return [*exposure(directory), *clear(directory)]


def make(directory: Path) -> None:
    """Make the directory, for us alone; an empty one that is there becomes ours. One that holds something keeps its mode: it may be `/tmp`."""
    for above in reversed(directory.parents):
        if not above.exists():
            above.mkdir(mode=0o755)
    try:
        directory.mkdir()
        directory.chmod(0o700)  # whatever the umask is
    except FileExistsError:
        with contextlib.suppress(PermissionError):  # the root of a volume belongs to whoever mounted it
            if not any(directory.iterdir()):
                directory.chmod(0o700)


def exposure(directory: Path) -> Iterator[Exposed]:
    """Report that others can write in the directory, or put another one in its place."""
    status, above = directory.stat(), directory.resolve().parent.stat()
    if status.st_uid not in (0, os.geteuid()):
        yield Exposed(directory, f"it belongs to the user {status.st_uid}")
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield Exposed(directory, f"its mode is {stat.S_IMODE(status.st_mode):04o}")
    elif above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        yield Exposed(directory, f"the mode of the directory above it is {stat.S_IMODE(above.st_mode):04o}")


def clear(directory: Path) -> Iterator[Misplaced]:
    """Move aside what lies in the place of a file of ours and is not one. A link is moved itself, and never followed."""
    for name in (*_FILES, SOCKET):
        path = directory / name
        try:
            kind = stat.S_IFMT(path.lstat().st_mode)
        except FileNotFoundError:
            continue
        if kind not in ((stat.S_IFSOCK, stat.S_IFREG) if name == SOCKET else (stat.S_IFREG,)):
            yield Misplaced(path, _KINDS.get(kind, "not a file"), path.rename(free_name(directory, f"misplaced-{{}}-{name}")))


def free_name(directory: Path, form: str) -> Path:
    """Return a path with the present time in its name, that nothing has; `form` has `{}` where the time goes."""
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
    """Whether anything has this name, also a link that leads nowhere."""
    return os.path.lexists(path)


def remove(path: Path) -> bool:
    """Remove a file; say whether there was one that could be removed."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def room(directory: Path, log: Path) -> int:
    """Bytes that the disk has for us, with what is ours already."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize + sum(size(path) for path in (directory / FILE, log, directory / BALLAST_FILE))


def size(path: Path) -> int:
    """Bytes of a file; 0 where it can't be seen now."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0
