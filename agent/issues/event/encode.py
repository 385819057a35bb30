"""An `ErrorEvent` as the JSON object that Sentry calls an event (develop.sentry.dev, "Event Payloads")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.issues.envelope.format import timestamp
from agent.issues.event.frames import EncodeOptions, class_of, encode_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agent.issues.event.error_event import Breadcrumb, ErrorEvent, LogMessage, Mechanism, Transaction
    from agent.parse.exceptions import ExceptionInfo, FatalError, ThreadStack
    from agent.record import Value

    Json = dict[str, Value]

LONGEST_TAG: Final = 200
"""Characters of a tag's value."""
LONGEST_NAME: Final = 512
"""Characters of a type's or a module's name, and of a part of a fingerprint."""
LONGEST_VALUE: Final = 8192
"""Characters of an exception's or a log's message."""
COMMAND: Final = "process.command_line"
"""The extra that holds the workload's command line, without secrets."""
_COUNT: Final = re.compile(r" \(\d+ sub-exceptions?\)$", re.MULTILINE)
"""The end of a group's message when it is printed; notes may follow it."""
MAX_EXCEPTIONS: Final = 50
"""Exceptions of one event; of a larger tree those nearest to the root."""


def encode_event(event: ErrorEvent, options: EncodeOptions, *, release: str = "", environment: str = "") -> Json:
    """The event; keys without a value are left out."""
    around = options.workload.around(_files(event))
    encoded: Json = {
        "event_id": event.event_id,
        "timestamp": timestamp(event.time_ns),
        "platform": "python",
        "level": event.level,
        "logger": event.logger or None,
        **_transaction(event.transaction),
        "server_name": event.server_name or None,
        "release": release or None,
        "environment": environment or None,
        "fingerprint": [part[:LONGEST_NAME] for part in event.fingerprint],
        "tags": {key[:32]: one_line(value)[:LONGEST_TAG] for key, value in event.tags.items() if value},
        "extra": {**({COMMAND: around.command} if around.command else {}), **event.extra},
        "modules": dict(around.modules),
        "logentry": _message(event.message),
        "exception": _exceptions(event, options, around.main),
        "threads": _threads(event.fatal, options, around.main),
        "breadcrumbs": {"values": [_crumb(crumb) for crumb in event.breadcrumbs]},
        "contexts": {**around.contexts, **_trace(event)},
    }
    return {key: value for key, value in encoded.items() if value not in (None, {}, [], {"values": []})}


def one_line(text: str) -> str:
    """Tags may not hold line breaks."""
    return " ".join(text.split())


def _message(message: LogMessage | None) -> Json | None:
    if message is None:
        return None
    encoded: Json = {"message": message.template[:LONGEST_VALUE]}
    if message.params:
        encoded |= {"params": list(message.params), "formatted": message.formatted[:LONGEST_VALUE]}
    return encoded


def _transaction(transaction: Transaction | None) -> Json:
    if transaction is None:
        return {}
    request = {"method": transaction.method, "url": transaction.url[:LONGEST_VALUE], "query_string": transaction.query[:LONGEST_VALUE]}
    return {
        "transaction": transaction.name[:LONGEST_TAG],
        "transaction_info": {"source": transaction.source},
        "request": {key: value for key, value in request.items() if value} if transaction.url else None,
    }


def _trace(event: ErrorEvent) -> Json:
    return {"trace": {"type": "trace", "trace_id": event.trace_id, "span_id": event.span_id or "0" * 15 + "1"}} if event.trace_id else {}


def _crumb(crumb: Breadcrumb) -> Json:
    encoded: Json = {
        "timestamp": timestamp(crumb.time_ns),
        "type": "default",
        "category": crumb.category,
        "level": crumb.level,
        "message": crumb.message,
    }
    return {**encoded, "data": dict(crumb.data)} if crumb.data else encoded


def _files(event: ErrorEvent) -> list[str]:
    """The files of all frames, each once."""
    stacks = [error.frames for error, _, _ in _walk(event.exception)] if event.exception else []
    threads = [thread.frames for thread in event.fatal.threads] if event.fatal else []
    return list(dict.fromkeys(frame.filename for frames in (*stacks, *threads) for frame in frames))


# --- exceptions ------------------------------------------------------------------------------------------------------


def _exceptions(event: ErrorEvent, options: EncodeOptions, main: Sequence[str]) -> Json | None:
    if event.exception is None:
        return None
    nodes = list(_walk(event.exception))
    several = len(nodes) > 1 or event.exception.is_group
    values: list[Value] = []
    for number, (error, parent, source) in enumerate(nodes):
        encoded = _exception(error, options, main)
        mechanism: Json = _mechanism(event.mechanism) if number == 0 else {"type": "chained", "handled": event.mechanism.handled}
        encoded["mechanism"] = mechanism | _place(error, number, parent, source) if several else mechanism
        values.insert(0, encoded)
    return {"values": values}


def _walk(root: ExceptionInfo) -> Iterator[tuple[ExceptionInfo, int, str]]:
    """The exceptions of a tree, root first, each with its parent's number and how it hangs on it (develop.sentry.dev, "Exception Interface")."""
    waiting: list[tuple[ExceptionInfo, int, str]] = [(root, -1, "")]
    number = 0
    while waiting and number < MAX_EXCEPTIONS:
        error, parent, source = waiting.pop()
        yield error, parent, source
        children = [(member, number, f"exceptions[{index}]") for index, member in enumerate(error.group)]
        below = error.cause or error.context
        if below is not None:
            children.insert(0, (below, number, "__cause__" if error.cause else "__context__"))
        waiting += reversed(children)
        number += 1


def _place(error: ExceptionInfo, number: int, parent: int, source: str) -> Json:
    place: Json = {"exception_id": number}
    if parent >= 0:
        place |= {"parent_id": parent, "source": source}
    if error.is_group:
        place["is_exception_group"] = True
    return place


def _mechanism(mechanism: Mechanism) -> Json:
    encoded: Json = {"type": mechanism.type, "handled": mechanism.handled}
    if mechanism.signal:
        encoded["meta"] = {"signal": {"number": mechanism.signal.number, "name": mechanism.signal.name}}
    return encoded


def _exception(error: ExceptionInfo, options: EncodeOptions, main: Sequence[str]) -> Json:
    name, module = class_of(error)
    encoded: Json = {"type": name[:LONGEST_NAME] or "Traceback", "value": value_of(error)}
    if module:
        encoded["module"] = module[:LONGEST_NAME]
    if error.frames:
        encoded["stacktrace"] = {"frames": encode_frames(error.frames, options, main)}
    return encoded


def value_of(error: ExceptionInfo) -> str:
    """The message as sentry-sdk has it: of a group without "(2 sub-exceptions)", of a SyntaxError with its place; with the notes below."""
    if error.truncated.incomplete:
        return "(the traceback ends before the exception is named)"
    value = error.value
    if error.is_group:
        value = _COUNT.sub("", value, count=1)
    if error.syntax:
        first, newline, rest = value.partition("\n")
        value = f"{first} ({error.syntax.filename.rpartition('/')[2]}, line {error.syntax.lineno}){newline}{rest}"
    return "\n".join((value, *error.notes))[:LONGEST_VALUE]


# --- threads ---------------------------------------------------------------------------------------------------------


def _threads(fatal: FatalError | None, options: EncodeOptions, main: Sequence[str]) -> Json | None:
    if fatal is None or len(fatal.threads) < 2:
        return None
    return {"values": [_thread(thread, options, main) for thread in fatal.threads]}


def _thread(thread: ThreadStack, options: EncodeOptions, main: Sequence[str]) -> Json:
    encoded: Json = {"id": thread.ident or "0", "crashed": thread.current, "current": thread.current}
    if thread.name:
        encoded["name"] = thread.name
    if not thread.current:  # the crashed thread's stack is the exception's
        encoded["stacktrace"] = {"frames": encode_frames(thread.frames, options, main)}
    return encoded


def with_occurrences(event: Mapping[str, Value], count: int, first_ns: int, last_ns: int, values: Sequence[str] = ()) -> Json:
    """The event as that of `count` errors between two times, with the first different messages among them.

    It says so first: of more than ten extras sentry-sdk keeps the first ten.
    """
    extra = event.get("extra")
    found: Json = {"count": count, "first": timestamp(first_ns), "last": timestamp(last_ns), **({"values": list(values)} if values else {})}
    others = {key: value for key, value in extra.items() if key != "occurrences"} if isinstance(extra, dict) else {}
    return {**event, "extra": {"occurrences": found, **others}}
