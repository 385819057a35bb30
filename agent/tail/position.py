"""The position of a content: how far it was read, and how it is recognised. The spool keeps it. Pure.

A file is known by device, inode and the inode's generation, and its content by two digests: of its first bytes (as many as were
read, up to 1024) and of the last ones before the offset (up to 256). So a rename, a copy and a compressed copy are found again, and a
truncated file that has grown past the offset, or an inode used again, is not mistaken for what was read.
"""

from __future__ import annotations

import struct
from _blake2 import blake2b  # what `hashlib` has of that name, which loads OpenSSL beside it: 3 MiB for what is never asked of it
from enum import StrEnum
from os import fsdecode, fsencode
from typing import Final, NamedTuple

HEAD: Final = 1024
"""Bytes."""
MARKER: Final = 256
"""Bytes."""
_VERSION: Final = 1
_GZIP, _MID_LINE, _DRAINED, _CAUSE = 1, 2, 4, 8
_TIME: Final = struct.Struct("<q")
_LAYOUT: Final = struct.Struct("<BBQQQQQqHH16s16sHH")


class PositionError(ValueError):
    """Stored bytes are not a valid position: that is reported, and never taken for "not read yet"."""


class Cause(StrEnum):
    """Why a content is not where it was. The values are those of `what` in `FileChanged`."""

    NONE = ""
    TRUNCATED = "truncated"
    """The file is still there, with something else in it."""
    REPLACED = "replaced"
    """The inode was used again: the file had been removed."""
    REMOVED = "removed"


_CAUSES: Final = tuple(Cause)


class Digest(NamedTuple):
    """A hash of some bytes, and their number."""

    length: int = 0
    hash: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """Digest these bytes (BLAKE2b, 128 bits); none for none."""
        return cls(len(data), blake2b(data, digest_size=16).digest()) if data else NOTHING

    def fits(self, data: bytes) -> bool:
        """Whether these are the bytes."""
        return len(data) == self.length and Digest.of(data) == self


NOTHING: Final = Digest()


class FilePlace(NamedTuple):
    """A file where a content lies."""

    path: str
    device: int
    inode: int
    generation: int = 0
    """The inode's own (ext4, xfs, btrfs): it changes when the number is used again. 0 = the file system has none."""
    gzip: bool = False

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode: the same for all names of the file."""
        return self.device, self.inode


class Position(NamedTuple):
    """One content and how far it was read. Offsets and sizes count bytes of the content, so uncompressed."""

    name: str
    """The path it was found under: `log.file.path` of its records, whatever it is called now."""
    place: FilePlace
    offset: int
    head: Digest = NOTHING
    marker: Digest = NOTHING
    size: int = 0
    """Size at the last check. It shows how much was missed if the rest is removed."""
    mtime_ns: int = 0
    """Of the file, as last seen."""
    mid_line: bool = False
    """The offset is inside a line whose beginning was given out already."""
    parser: bytes = b""
    """The parser's state."""
    drained: bool = False
    """A compressed content was read to its end."""
    cause: Cause = Cause.NONE
    """The reason why it is no longer at `place`, if it is not."""

    def encode(self) -> bytes:
        """The bytes for the spool."""
        name, path = fsencode(self.name), fsencode(self.place.path)
        flags = _GZIP * self.place.gzip | _MID_LINE * self.mid_line | _DRAINED * self.drained | _CAUSE * _CAUSES.index(self.cause)
        fixed = _LAYOUT.pack(
            _VERSION, flags, self.place.device, self.place.inode, self.place.generation, self.offset, self.size, self.mtime_ns,
            self.head.length, self.marker.length, self.head.hash, self.marker.hash, len(name), len(path),
        )  # fmt: skip
        return b"".join((fixed, name, path, self.parser))


class Horizon(NamedTuple):
    """The start of the agent's time at a live path: unknown rotated files whose last write is not later are not read."""

    live_path: str
    mtime_ns: int

    @property
    def key(self) -> str:
        """A name for it that is text, as a path need not be."""
        return blake2b(fsencode(self.live_path), digest_size=16).hexdigest()

    def encode(self) -> bytes:
        """The bytes for the spool."""
        return _TIME.pack(self.mtime_ns) + fsencode(self.live_path)

    @classmethod
    def decode(cls, data: bytes) -> Horizon:
        """Read `encode`'s bytes back; PositionError on anything else."""
        if len(data) <= _TIME.size:
            raise PositionError(f"a stored horizon of {len(data)} bytes is too short")
        return cls(fsdecode(data[_TIME.size :]), *_TIME.unpack_from(data))


def decode(data: bytes) -> Position:
    """Read `Position.encode`'s bytes back; PositionError on anything else."""
    try:
        (version, flags, device, inode, generation, offset, size, mtime_ns, head, marker, head_hash, marker_hash, name, path) = (
            _LAYOUT.unpack_from(data)
        )
    except struct.error as error:
        raise PositionError(f"a stored position of {len(data)} bytes is too short") from error
    rest = data[_LAYOUT.size :]
    if version != _VERSION or len(rest) < name + path:
        raise PositionError(f"a stored position has version {version} and {len(rest)} bytes: this agent reads version {_VERSION}")
    place = FilePlace(fsdecode(rest[name : name + path]), device, inode, generation, gzip=bool(flags & _GZIP))
    return Position(
        fsdecode(rest[:name]), place, offset, _digest(head, head_hash), _digest(marker, marker_hash), size, mtime_ns,
        bool(flags & _MID_LINE), rest[name + path :], bool(flags & _DRAINED), _CAUSES[flags // _CAUSE % len(_CAUSES)],
    )  # fmt: skip


def _digest(length: int, value: bytes) -> Digest:
    return Digest(length, value) if length else NOTHING
