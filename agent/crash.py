"""Named crash points, at which a test may kill the agent.

`OUTRIDER_FAULT=point:n` kills the process (SIGKILL, as the kernel would) at the n-th passage of that point.
`OUTRIDER_CRASH_LOG=path` keeps the last passed point and its count in a small file, so that a harness that kills at random can
say where its kills landed. With neither set a passage is the call of an empty function.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAULT: Final = "OUTRIDER_FAULT"
CRASH_LOG: Final = "OUTRIDER_CRASH_LOG"
LOG_SIZE: Final = 64
"""Bytes: the crash log is overwritten in place and never longer."""

POINTS: Final = frozenset(
    {
        "spool.before_begin",
        "spool.after_begin",
        "spool.after_insert",
        "spool.after_position",
        "spool.after_ledger",
        "spool.before_commit",
        "spool.after_commit",
        "spool.before_evict",
        "spool.after_evict",
        "spool.before_settle",
        "spool.after_settle_cursor",
        "spool.after_settle_ledger",
        "spool.after_settle_delete",
        "spool.before_checkpoint",
        "spool.after_checkpoint",
        "spool.before_vacuum",
        "spool.after_vacuum",
        "spool.salvage_moved",
        "spool.salvage_rows",
        "spool.salvage_done",
        "spool.migrate",
        "intake.part_stored",
        "delivery.before_send",
        "delivery.after_send",
        "delivery.after_answer",
        "delivery.before_settle",
        "tail.before_read",
        "tail.after_read",
        "tail.before_emit",
        "tail.after_emit",
        "tail.rotation_found",
        "tail.rotation_read",
        "tail.rotation_closed",
        "tail.truncated",
        "runtime.started",
        "runtime.stopping",
        "runtime.sealed",
    }
)


class Fault(NamedTuple):
    """The name of the crash point."""

    point: str
    passage: int
    """The number of the passage, from 1."""


def parse_fault(text: str) -> Fault:
    """Read `point` or `point:n`; ConfigError names the fault and the points there are."""
    point, _, number = text.partition(":")
    if point not in POINTS:
        raise ConfigError(f"{FAULT}={text!r}: no crash point {point!r}; there are {', '.join(sorted(POINTS))}")
    if number and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise ConfigError(f"{FAULT}={text!r}: the passage must be a whole number from 1, as in {point}:1")
    return Fault(point, int(number or 1))


def arm(environ: Mapping[str, str]) -> Callable[[str], None]:
    """Return the function to call at every point; a wrong setting raises at the first passage (and in `parse_fault` before)."""
    text, log = environ.get(FAULT, ""), environ.get(CRASH_LOG, "")
    if not text and not log:
        return _pass
    try:
        fault = parse_fault(text) if text else None
    except ConfigError as error:
        return _refuse(str(error))
    return _watch(fault, log)


def read_crash_log(text: bytes) -> tuple[str, int]:
    """Return the last point passed and its count from a crash log's content; ("", 0) if none was."""
    point, _, count = text.rstrip(b" \n").decode("ascii").partition(" ")
    return point, int(count or 0)


def _pass(_name: str) -> None:
    """Do nothing: the normal case."""


def _refuse(message: str) -> Callable[[str], None]:
    def crash_point(_name: str) -> None:
        raise ConfigError(message)

    return crash_point


def _watch(fault: Fault | None, log: str) -> Callable[[str], None]:
    passages: Counter[str] = Counter()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600) if log else None

    def crash_point(name: str) -> None:
        passages[name] += 1
        if file is not None:
            os.pwrite(file, f"{name} {passages[name]}\n".encode("ascii").ljust(LOG_SIZE), 0)
        if fault is not None and fault == (name, passages[name]):
            os.kill(os.getpid(), signal.SIGKILL)

    return crash_point


crash_point: Callable[[str], None] = arm(os.environ)
"""Pass a point of `POINTS`. Chosen once at import, so that it costs nothing when unset."""
