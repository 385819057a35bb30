"""Opening the file: a damaged one is salvaged, and at the start errors that may pass are waited for."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from agent.errors import SpoolError, SpoolLockedError
from agent.retry import Backoff
from agent.spool import database, paths
from agent.spool.database import Trouble
from agent.spool.paths import BALLAST_FILE, FILE
from agent.spool.repair import salvage
from agent.spool.tables import Tables

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from agent.spool.database import Fault
    from agent.spool.open_file import Session
    from agent.spool.state_dir import StateDir

T = TypeVar("T")
FAULTS: Final = (apsw.Error, UnicodeDecodeError)
ATTEMPTS: Final = 4
"""Tries of one group before its jobs fail; tries to open the file before other work continues."""
BACKOFF: Final = Backoff(first=0.05, longest=2.0)
_FINAL: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EFBIG,
        errno.EMFILE,
    }
)
"""Errors that do not pass by themselves: the start fails with them at once. The last two are limits of this process (setrlimit(2))."""


def open_tables(home: StateDir, session: Session, reason: str = "a salvage was interrupted") -> Tables:
    """Open the file, having finished a salvage that was begun for this reason. `apsw.Error`; OSError."""
    home.mark(log=False)
    report = salvage.resume(home.file, session.granted.pages, reason)
    if report is not None:
        session.events.append(report)
    tables = Tables.open(home.file, session, powered=home.powered)
    home.powered = True
    try:
        home.mark(log=True)
    except OSError:
        tables.db.close()
        raise
    return tables


def open_salvaged(home: StateDir, session: Session, reason: str) -> Tables:
    """Set the damaged file aside and open what could be saved of it."""
    salvage.begin(home.file)
    return open_tables(home, session, reason)


def open_first(home: StateDir, session: Session, *, last: bool) -> Tables:
    """Open the file for the first time; a damaged one is salvaged, and in the `last` attempt one that can't be read counts as damaged."""
    try:
        return open_tables(home, session)
    except FAULTS as error:
        kind = database.trouble(error)
        if kind is not Trouble.DAMAGED and not (kind is Trouble.UNREADABLE and last):
            raise
        return open_salvaged(home, session, str(error))


def patiently(step: Callable[[bool], T], directory: Path, until: float, closing: threading.Event) -> T:
    """Do a step of the start; repeat it after errors that may pass, until that monotonic time. Its argument is whether this is the last try.

    SpoolLockedError, SpoolError, OSError.
    """
    attempt = 0
    while True:
        attempt += 1
        last = closing.is_set() or (attempt >= ATTEMPTS - 1 and time.monotonic() >= until)
        try:
            return step(last)
        except (*FAULTS, OSError) as error:
            _judge(error, directory, last=last)
        closing.wait(BACKOFF.delay(attempt, 0.5))


def _judge(error: Fault | OSError, directory: Path, *, last: bool) -> None:
    """Raise if another try is not worth it."""
    kind = database.trouble(error)
    lasting = database.reason(error) in _FINAL
    if kind is Trouble.LOCKED:
        raise SpoolLockedError(f"{directory / FILE} is open in another process")
    if isinstance(error, OSError) and (last or lasting):
        raise error
    if last or lasting:
        raise SpoolError(f"{directory / FILE} can't be opened: {database.explained(error)}") from error
    if kind is Trouble.FULL:
        paths.remove(directory / BALLAST_FILE)
