"""Which errors are one problem: of a storm of them few are sent, and receivers make one issue of them. Pure.

Receivers group by themselves what has a stack (type and frames, as that of the SDK in the process) or a template. The agent
sends a fingerprint only where that would do worse: of an exception without frames, whose message varies, and of an error that the agent found.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

from agent.issues.event.frames import is_in_app
from agent.issues.reading.templates import parametrise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.issues.event.error_event import ErrorEvent
    from agent.parse.exceptions import ExceptionInfo, Frame

NAMESPACE: Final = uuid.UUID("7f0b1c9e-5d0e-5b8e-9a43-0d6a3f1b2c11")
"""Of the ids made here; chosen once."""
MAX_LINKS: Final = 20
"""Exceptions of a chain that count."""
MAX_PLACES: Final = 20
"""Places of a stack that count."""


def group_of(template: str, exception: ExceptionInfo | None, in_app: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Template, types and own frames: never the message as it was rendered, and no line numbers."""
    if exception is None:
        return (template,)
    links = list(_chain(exception))
    frames = [frame for link in links for frame in link.frames]
    own = [frame for frame in frames if _is_own(frame.filename, in_app)] or frames
    value = () if frames else (parametrise(exception.value)[0],)
    types = tuple(link.qualified or "(cut off)" for link in links)
    return tuple(part for part in (template, *types, *value, *_places(own)) if part)


def groups_itself(exception: ExceptionInfo | None) -> bool:
    """Whether a receiver's own grouping does as well: by a template, or by a stack."""
    return exception is None or (not exception.truncated.incomplete and any(link.frames for link in _chain(exception)))


def key_of(event: ErrorEvent, service: str) -> str:
    """An event's group as a short key; that of another service than `service` is another group."""
    other = () if event.service == service else (event.service,)
    return uuid.uuid5(NAMESPACE, "\0".join((*event.group, *other))).hex[:16]


def _is_own(path: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a file is the workload's own; of a module's name by the path alone, as it must not matter which files can be read."""
    names = [name.replace(".", "/") for name in prefixes if not re.search(r"[\\/]", name)]
    plain = path.replace("\\", "/")
    return is_in_app(path, "", prefixes) or any(f"/{name}/" in plain or plain.endswith(f"/{name}.py") for name in names)


def _chain(exception: ExceptionInfo) -> Iterable[ExceptionInfo]:
    """The exceptions of a chain and the members of its groups, the newest first, bounded."""
    waiting, count = [exception], 0
    while waiting and count < MAX_LINKS:
        link = waiting.pop(0)
        yield link
        waiting += [*link.group, *(below for below in (link.cause or link.context,) if below)]
        count += 1


def _places(frames: Iterable[Frame]) -> list[str]:
    """Where, by the last parts of the path, so that it does not matter where the code lies; each place once, so that recursion is one place."""
    places = dict.fromkeys("/".join(re.split(r"[\\/]", frame.filename)[-2:]) + ":" + frame.function for frame in frames)
    return list(places)[:MAX_PLACES]
