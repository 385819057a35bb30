"""Makes an envelope smaller, step by step, the least useful parts first. Pure and deterministic.

    1 attachments   2 breadcrumbs   3 extra and modules   4 local variables and context lines   5 the middle of long stacks   6 long messages
    7 all but the exceptions nearest to the root, and of each all but the newest frames

Each step works on the result of the one before. Names are bounded when an event is made, so the result of the last step is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.issues.envelope.format import Envelope, EnvelopeItem, dump, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.record import Value

    Json = dict[str, Value]

MAX_EVENT: Final = 1_000_000
"""Bytes of an event, before compression: Sentry's own limit is 1 MiB."""
FEW_FRAMES: Final = 50
SHORT: Final = 1024
NEAREST: Final = 5
"""Exceptions of an event, and frames of each, that are kept whatever the size."""
SHORT_LINE: Final = 200


def shorten(frames: list[Value], limit: int) -> list[Value]:
    """At most `limit` frames: the oldest quarter and the newest ones."""
    if len(frames) <= limit:
        return frames
    oldest = limit // 4
    return frames[:oldest] + frames[len(frames) - (limit - oldest) :]


def fit(envelope: Envelope, limit: int) -> Envelope:
    """The envelope with as few steps taken as bring it to `limit` bytes, or with all of them."""
    for smaller in steps(envelope):
        if len(encode(envelope)) <= limit:
            return envelope
        envelope = smaller
    return envelope


def steps(envelope: Envelope) -> Iterator[Envelope]:
    """The envelope after each step; steps that change nothing are left out."""
    for step in (_without_attachments, *(_on_event(part) for part in (_crumbs, _extra, _context, _stacks, _messages, _nearest))):
        smaller = step(envelope)
        if smaller is not None:
            envelope = smaller
            yield envelope


def _without_attachments(envelope: Envelope) -> Envelope | None:
    kept = [item for item in envelope.items if item.type != "attachment"]
    return Envelope(envelope.headers, kept) if len(kept) < len(envelope.items) else None


def _on_event(part: Callable[[Json], None]) -> Callable[[Envelope], Envelope | None]:
    def step(envelope: Envelope) -> Envelope | None:
        items = [_with(item, part) if item.type == "event" else item for item in envelope.items]
        smaller = sum(len(item.body) for item in items) < sum(len(item.body) for item in envelope.items)
        return Envelope(envelope.headers, items) if smaller else None

    return step


def _with(item: EnvelopeItem, part: Callable[[Json], None]) -> EnvelopeItem:
    event = item.json()
    part(event)
    return EnvelopeItem(item.type, dump(event), item.headers)


def _crumbs(event: Json) -> None:
    event.pop("breadcrumbs", None)


def _extra(event: Json) -> None:
    event.pop("modules", None)
    extra = event.pop("extra", None)
    if isinstance(extra, dict) and "occurrences" in extra:
        event["extra"] = {"occurrences": extra["occurrences"]}


def _context(event: Json) -> None:
    for stack in _stacktraces(event):
        for frame in _dicts(stack.get("frames")):
            for key in ("vars", "pre_context", "post_context"):
                frame.pop(key, None)


def _stacks(event: Json) -> None:
    for stack in _stacktraces(event):
        frames = stack.get("frames")
        if isinstance(frames, list):
            stack["frames"] = shorten(frames, FEW_FRAMES)


def _messages(event: Json) -> None:
    event.pop("threads", None)
    entry = event.get("logentry")
    for holder, key in [(one, "value") for one in _values(event, "exception")] + [(entry, "message"), (entry, "formatted")]:
        text = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and isinstance(text, str):
            holder[key] = text[:SHORT]


def _nearest(event: Json) -> None:
    holder = event.get("exception")
    values: list[Value] = [*_values(event, "exception")]
    if isinstance(holder, dict):
        holder["values"] = values[-NEAREST:]  # the root is the last
    for stack in _stacktraces(event):
        stack["frames"] = [_short(frame) for frame in [*_dicts(stack.get("frames"))][-NEAREST:]]


def _short(frame: Json) -> Json:
    line = frame.get("context_line")
    return {**frame, "context_line": line[:SHORT_LINE]} if isinstance(line, str) else frame


def _stacktraces(event: Json) -> Iterator[Json]:
    for holder in (*_values(event, "exception"), *_values(event, "threads")):
        stack = holder.get("stacktrace")
        if isinstance(stack, dict):
            yield stack


def _values(event: Json, key: str) -> Iterator[Json]:
    holder = event.get(key)
    yield from _dicts(holder.get("values") if isinstance(holder, dict) else None)


def _dicts(value: Value) -> Iterator[Json]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
