"""Opens files safely: regular files only, no symbolic links out of the allowed directories, never more descriptors than the limit. Thin I/O."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import Final, NamedTuple

from agent.tail.unreadable import NOT_REGULAR

_GET_VERSION: Final = 0x80087601
"""FS_IOC_GETVERSION, linux/fs.h: the inode's generation."""
_UNSUPPORTED: Final = frozenset({errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EACCES})


class NotRegularError(OSError):
    """The path names a directory, FIFO, socket or device, or a link that must not be followed."""


class FileStatus(NamedTuple):
    """The part of a file's status that following needs."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode


def found(path: str, status: os.stat_result) -> FileStatus:
    """Reduce a status."""
    return FileStatus(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def open_regular(path: str) -> int:
    """Open a regular file for reading; never blocks on a FIFO, never follows a link at the end of the path.

    Raises `NotRegularError`, or the OSError of the kernel.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise NotRegularError(error.errno, NOT_REGULAR, path) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotRegularError(errno.EINVAL, NOT_REGULAR, path)
    return fd


def first_bytes(path: str, size: int) -> bytes:
    """The beginning of a regular file, as `open_regular` opens it."""
    fd = open_regular(path)
    try:
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)


def inode_generation(fd: int) -> int:
    """The generation of the inode, 0 where the file system has none."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, _GET_VERSION, bytes(8)), "little")
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return 0
        raise


def is_within(path: str, roots: tuple[str, ...]) -> bool:
    """Whether a resolved path lies below one of the resolved directories."""
    return any(path.startswith(root.rstrip("/") + "/") for root in roots)


def may_follow(link_owner: int, target_owner: int) -> bool:
    """Whether a link out of the allowed directories may be followed: only if the link's owner could read the target anyway.

    The rule of the kernel's `fs.protected_symlinks`: root's links (kubelet makes such) and links to one's own files.
    """
    return link_owner in (0, target_owner)


def resolve(path: str, roots: tuple[str, ...]) -> str:
    """The real path of an existing file, if it may be read from here; `NotRegularError` with the reason if not."""
    real = os.path.realpath(path)
    if real == path or is_within(real, roots):
        return real
    link = os.lstat(path)
    if stat.S_ISLNK(link.st_mode) and may_follow(link.st_uid, os.stat(real).st_uid):
        return real
    raise NotRegularError(errno.EPERM, f"links to {real}, outside of the allowed directories", path)
