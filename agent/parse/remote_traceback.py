"""Exceptions of another process, which carry its traceback as their message: the text becomes frames and links of the chain. Pure.

`concurrent.futures.process._RemoteTraceback`, `multiprocessing.pool.RemoteTraceback`, billiard's, loky's and pebble's put it in three quotes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent.parse.exceptions import HEADER
from agent.parse.traceback import parse_traceback

if TYPE_CHECKING:
    from agent.parse.exceptions import ExceptionInfo

DEEPEST: Final = 50
"""Links of a chain that are looked at."""


def unfold_remote(exception: ExceptionInfo, depth: int = 0) -> ExceptionInfo:
    """The exception with the tracebacks of another process that each link of its chain, and each member of its groups, contains."""
    if depth > DEEPEST:
        return exception
    cause, context = (None if link is None else unfold_remote(link, depth + 1) for link in (exception.cause, exception.context))
    group = tuple(unfold_remote(member, depth + 1) for member in exception.group)
    if (cause, context, group) != (exception.cause, exception.context, exception.group):
        exception = replace(exception, cause=cause, context=context, group=group)
    return _unfolded(exception)


def _unfolded(exception: ExceptionInfo) -> ExceptionInfo:
    text = exception.value.strip('\n "')
    if exception.frames or exception.cause or exception.context or not text.startswith(HEADER):
        return exception
    remote = parse_traceback(text)
    if remote is None or not remote.frames:
        return exception
    said = f"{remote.qualified}: {remote.value}" if remote.value else remote.qualified
    return replace(remote, type=exception.type, module=exception.module, value=said)
