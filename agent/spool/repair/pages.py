"""The pages of a damaged file, with those of its log laid over; and SQLite on top of them. The file itself is not changed."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import apsw

from agent.spool import positions, schema
from agent.spool.quota import PAGE_SIZE
from agent.spool.repair import header
from agent.spool.repair.wal import committed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SYSTEM: Final = "outrider damaged"
"""The name under which SQLite knows the file system below."""


class Pages:
    """The newest bytes of each page, as far as they can be read."""

    def __init__(self, path: Path, log: Path) -> None:
        """Open both; a missing one is an empty one. OSError if one of them can't be read."""
        stored = committed(log)
        self._newer = stored.pages
        self._file, self._log = _open(path), _open(log)
        size = os.fstat(self._file).st_size if self._file >= 0 else 0
        self.count = max(-(-size // PAGE_SIZE), stored.size)
        self.first: bytes | None = None
        """The first page, if another one is to serve than that of the file."""

    def page(self, number: int) -> bytes:
        """Return a page by its number from 1; short or empty beyond the end, or where the disk gives nothing."""
        if number == 1 and self.first is not None:
            return self.first
        try:
            if number in self._newer:
                return os.pread(self._log, PAGE_SIZE, self._newer[number])
            return os.pread(self._file, PAGE_SIZE, (number - 1) * PAGE_SIZE) if number > 0 and self._file >= 0 else b""
        except OSError:
            return b""

    def close(self) -> None:
        """Close the files."""
        for handle in (self._file, self._log):
            if handle >= 0:
                os.close(handle)

    @contextmanager
    def opened(self) -> Iterator[tuple[apsw.Connection, int]]:
        """Have SQLite read them; yields the version of the file too.

        The first page is mended: a sound header, and where the tables in it are not those of a version, those of an empty spool.
        """
        system = _System(self)
        try:
            connection, version = self._connect()
            try:
                yield connection, version
            finally:
                connection.close(force=True)
        finally:
            system.unregister()

    def _connect(self) -> tuple[apsw.Connection, int]:
        """Try the versions, the newest first: by the tables that the file names, then by the positions that are where a version has them."""
        versions = range(schema.VERSION, 0, -1)
        found = self.page(1).ljust(PAGE_SIZE, b"\0")
        tries: list[tuple[bytes, int, Callable[[apsw.Connection, int], bool]]] = [(found, version, schema.is_of) for version in versions]
        tries += [(schema.first_page(version), version, _has_positions) for version in versions]
        for page, version, fits in tries:
            connection = self._connect_by(page, version)
            if fits(connection, version):
                return connection, version
            connection.close(force=True)
        return self._connect_by(schema.first_page(), schema.VERSION), schema.VERSION

    def _connect_by(self, page: bytes, version: int) -> apsw.Connection:
        self.first = header.sound(page, self.count, version)
        return apsw.Connection("spool", flags=apsw.SQLITE_OPEN_READONLY, vfs=_SYSTEM)


def _has_positions(connection: apsw.Connection, version: int) -> bool:  # noqa: ARG001 - as `schema.is_of`
    for table in positions.TABLES:
        with suppress(apsw.Error, UnicodeDecodeError):
            if any(positions.intact(row) for row in connection.execute(f"SELECT * FROM {table}")):  # noqa: S608 constant
                return True
    return False


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return -1


class _System(apsw.VFS):
    """A file system that holds one file, to be read only (sqlite.org/vfs.html)."""

    def __init__(self, pages: Pages) -> None:
        super().__init__(_SYSTEM, base="")
        self._pages = pages

    def xOpen(self, _name: object, _flags: list[int]) -> _File:  # type: ignore[override] # noqa: N802 - SQLite's names; it takes any object
        return _File(self._pages)

    def xAccess(self, _path: str, _flags: int) -> bool:  # noqa: N802 - as above
        """No journal lies beside it."""
        return False

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - as above
        return name


class _File:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's names
        number, start = divmod(offset, PAGE_SIZE)
        found = self._pages.page(number + 1)[start : start + amount]
        if len(found) < amount:
            raise apsw.IOError(f"page {number + 1} is not there")  # SQLite would take what is missing for zeros
        return found

    def xFileSize(self) -> int:  # noqa: N802 - as above
        return self._pages.count * PAGE_SIZE

    def xSectorSize(self) -> int:  # noqa: N802 - as above
        return PAGE_SIZE

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 - as above
        return 0

    def xCheckReservedLock(self) -> bool:  # noqa: N802 - as above
        return False

    def xFileControl(self, _operation: int, _pointer: int) -> bool:  # noqa: N802 - as above
        return False

    def xLock(self, _level: int) -> None:  # noqa: N802 - as above
        """No other process reads it."""

    xUnlock = xLock  # noqa: N815 - as above

    def xClose(self) -> None:  # noqa: N802 - as above
        """The caller closes the pages."""
