"""The pages of a damaged file, with those of its log laid over; and SQLite on top of them, so that the file itself stays as it was found."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import apsw

from agent.spool import schema
from agent.spool.repair import header
from agent.spool.repair.wal import committed
from agent.spool.schema import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    def opened(self) -> Iterator[apsw.Connection]:
        """Have SQLite read them. Its first page is mended: a sound header, and where the tables in it are not ours, those of an empty spool."""
        found = self.page(1).ljust(PAGE_SIZE, b"\0")
        system = _System(self)
        try:
            for page in (found, schema.model().first_page):
                self.first = header.sound(page, self.count)
                connection = apsw.Connection("spool", flags=apsw.SQLITE_OPEN_READONLY, vfs=_SYSTEM)
                try:
                    if page is not found or _is_ours(connection):
                        yield connection
                        return
                finally:
                    connection.close(force=True)
        finally:
            system.unregister()


def _is_ours(connection: apsw.Connection) -> bool:
    try:
        schema.verify(connection)
    except (apsw.Error, UnicodeDecodeError):
        return False
    return True


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
        """Nobody else reads it."""

    xUnlock = xLock  # noqa: N815 - as above

    def xClose(self) -> None:  # noqa: N802 - as above
        """The pages are closed by who opened them."""
