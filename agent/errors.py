"""The agent's exceptions, in a file of their own: a module that raises one needs no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class OutriderError(Exception):
    """Base of the agent's own exceptions."""


class ConfigError(OutriderError):
    """The configuration is wrong; the message lists every fault with its place and its fix. Exit code 78 (EX_CONFIG)."""


class UnavailableError(OutriderError):
    """A resource that the agent needs is unavailable: its address is in use, its directory is not writable. Exit code 69."""


class NoInputError(OutriderError):
    """The object that a command names does not exist, or is not available in that form. Exit code 66 (EX_NOINPUT)."""


class SpoolError(OutriderError):
    """The spool did not take a commit, and certainly has not stored it: the caller may try again."""


class SpoolFullError(SpoolError):
    """The quota or the disk is used up and nothing may be evicted for this batch: wait, or refuse upstream (429/503)."""


class SpoolOversizeError(SpoolError):
    """The batch is larger than the spool may ever be: waiting does not help, only halving does."""


class SpoolLockedError(SpoolError):
    """Another agent holds the state directory; the message names it. Exit code 73 (EX_CANTCREAT)."""


class RetryableError(OutriderError):
    """The destination did not take the row now: keep it and try again.

    `after` is the destination's `Retry-After` in seconds; None = the host's back-off decides.
    """

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class PausedError(RetryableError):
    """The destination refuses *us*, not the row (401, 403, 404, …): keep everything, try one row a minute."""


class RejectedError(OutriderError):
    """The destination will never take this row: it becomes a dead letter with this reason.

    `positions` are committed with that, as those of an `Accepted`.
    """

    def __init__(self, reason: str, *, positions: Mapping[str, bytes | None] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.positions = positions or {}


class TooLargeError(RejectedError):
    """The row is over the destination's size limit (413): the host halves it down to the one record that does not fit."""


def describe(error: BaseException) -> str:
    """An exception in one line; of a group, its first leaf, which is the cause."""
    error = first_cause(error)
    text = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def first_cause(error: BaseException) -> BaseException:
    """The first leaf of an exception group; any other exception itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
