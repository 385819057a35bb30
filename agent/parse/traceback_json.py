"""Exceptions inside decoded log records: the shapes that Python's logging libraries write.

    structlog dict_tracebacks   exception: [{exc_type, exc_value, frames, is_cause, …}, …], newest first
    structlog format_exc_info   exception: "Traceback …"
    stdlib, python-json-logger  exc_info: "Traceback …" (or a list of its lines)
    loguru serialize            record.exception: {type, value, traceback}, text: "… Traceback …"
    ECS                         error.type, error.message, error.stack_trace (a traceback or bare frames)
    OpenTelemetry               exception.type, exception.message, exception.stacktrace

Dotted names are found flat and nested. No shape of JSON raises; one without an exception gives None.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from agent.names import EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE
from agent.parse.exceptions import NOT_TRUNCATED, ExceptionInfo, Frame, Truncated
from agent.parse.traceback import parse_exception_text, parse_stack, parse_traceback
from agent.parse.traceback_build import MAX_BOXES, MAX_HEIGHT, MAX_LINKS, split_type
from agent.parse.traceback_tokens import FINAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXT_KEYS: Final = (
    "exc_info",
    "exception",
    "exc_text",
    "error.stack_trace",
    "error.stack",
    EXCEPTION_STACKTRACE,
    "stack_trace",
    "traceback",
)
_FIELDS: Final = (
    (EXCEPTION_TYPE, EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE),
    ("error.type", "error.message", "error.stack_trace"),
    ("error.kind", "error.message", "error.stack"),
)
_GROUPS: Final = frozenset({"ExceptionGroup", "BaseExceptionGroup"})
_SKIPPED: Final = "Skipped frames: "
MAX_REMEMBERED: Final = 8_192
"""Characters of a text whose exception is kept: in a storm one and the same comes again and again."""
_text_again: Final = lru_cache(maxsize=32)(parse_exception_text)
_stack_again: Final = lru_cache(maxsize=32)(parse_traceback)


def from_structured(attributes: Mapping[str, object]) -> ExceptionInfo | None:
    """The exception in a decoded log record, None if there is none."""
    stacks = attributes.get("exception")
    if isinstance(stacks, list) and stacks and isinstance(stacks[0], dict):
        return _trace(stacks, MAX_BOXES, MAX_HEIGHT)
    return _loguru(attributes) or _fields(attributes) or _texts(attributes)


# --- text in a field -------------------------------------------------------------------------------------------------


def _texts(attributes: Mapping[str, object]) -> ExceptionInfo | None:
    for key in _TEXT_KEYS:
        text = _text(_lookup(attributes, key))
        info = _of_text(text) if text else None
        if info is not None and (info.frames or info.type):
            return info
    return None


def _of_text(text: str) -> ExceptionInfo | None:
    """As `parse_exception_text`; one that was read lately is not read again."""
    return _text_again(text) if len(text) <= MAX_REMEMBERED else parse_exception_text(text)


def _of_stack(stack: str) -> ExceptionInfo | None:
    """As `parse_traceback`; one that was read lately is not read again."""
    return _stack_again(stack) if len(stack) <= MAX_REMEMBERED else parse_traceback(stack)


def _text(value: object) -> str:
    """A text, or the lines of one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return ""


def _lookup(attributes: Mapping[str, object], key: str) -> object:
    """The value of a dotted name, flat (`{"error.type": …}`) or nested (`{"error": {"type": …}}`)."""
    if key in attributes:
        return attributes[key]
    head, _, tail = key.partition(".")
    inner = attributes.get(head)
    return inner.get(tail) if tail and isinstance(inner, dict) else None


# --- type, message and stack in fields of their own ------------------------------------------------------------------


def _fields(attributes: Mapping[str, object]) -> ExceptionInfo | None:
    """ECS, OpenTelemetry and those who spell them slightly differently."""
    for type_key, message_key, stack_key in _FIELDS:
        qualified = _scalar(_lookup(attributes, type_key))
        stack = _text(_lookup(attributes, stack_key))
        if _is_class(qualified) or (stack and qualified):
            return _assemble(qualified, _scalar(_lookup(attributes, message_key)), stack)
    return None


def _is_class(name: str) -> bool:
    """Whether a name is that of a Python class rather than a category like "timeout"."""
    match = FINAL.fullmatch(name)
    return match is not None and (match[1] == name) and ("." in name or name[:1].isupper())


def _assemble(qualified: str, message: str, stack: str) -> ExceptionInfo:
    """The text of the stack wins where it names the exception too; bare frames need the fields."""
    info = _of_stack(stack)
    if info is not None and info.type:
        return info if info.value or not message else replace(info, value=message)
    module, name = split_type(qualified.removeprefix("builtins.").removeprefix("__main__."))
    frames = info.frames if info else parse_stack(stack)
    return ExceptionInfo(name, module, message, frames, is_group=name in _GROUPS)


def _loguru(attributes: Mapping[str, object]) -> ExceptionInfo | None:
    record = attributes.get("record")
    exception = record.get("exception") if isinstance(record, dict) else None
    if not isinstance(exception, dict):
        return None
    info = parse_traceback(_text(attributes.get("text")))
    name = _scalar(exception.get("type"))
    return info or (_assemble(name, _scalar(exception.get("value")), "") if name else None)


# --- structlog's dictionaries ----------------------------------------------------------------------------------------


def _trace(stacks: Sequence[object], boxes: int, height: int) -> ExceptionInfo | None:
    """A chain, newest exception first; `is_cause` on an older one says how the newer came of it."""
    links = [stack for stack in stacks[: min(MAX_LINKS, height)] if isinstance(stack, dict)]
    info: ExceptionInfo | None = None
    caused = False
    dropped = len(stacks) - len(links)
    for position in range(len(links) - 1, -1, -1):
        stack = links[position]
        link = _stack(stack, boxes, height - position - 1, 0 if info else dropped)
        info = replace(link, cause=info if caused else None, context=None if caused else info)
        caused = stack.get("is_cause") is True
    return info


def _stack(stack: Mapping[str, object], boxes: int, height: int, links: int) -> ExceptionInfo:
    name = _scalar(stack.get("exc_type"))
    module, name = split_type(name) if _is_class(name) else (None, name)
    members = _dicts_or_lists(stack.get("exceptions"))
    group = _group(members, boxes, height)
    frames, skipped, skipped_at = _frames(stack.get("frames"))
    syntax = _syntax(stack.get("syntax_error"))
    return ExceptionInfo(
        type=name,
        module=module,
        value=_without_place(_scalar(stack.get("exc_value")), syntax),
        frames=frames,
        notes=tuple(note for note in _items(stack.get("exc_notes")) if isinstance(note, str)),
        group=group,
        is_group=bool(members) or stack.get("is_group") is True or name in _GROUPS,
        syntax=syntax,
        truncated=_truncated(len(members) - len(group), skipped, skipped_at, links),
    )


def _truncated(exceptions: int, frames: int, frames_at: int, links: int) -> Truncated:
    if not (exceptions or frames or links):
        return NOT_TRUNCATED
    return Truncated(exceptions=exceptions, frames=frames, frames_at=frames_at, links=links)


def _group(members: list[list[object]], boxes: int, height: int) -> tuple[ExceptionInfo, ...]:
    """The members of a group as far as depth allows."""
    if boxes <= 0 or height <= 0:
        return ()
    infos = (_trace(member, boxes - 1, height) for member in members)
    return tuple(info for info in infos if info is not None)


def _dicts_or_lists(value: object) -> list[list[object]]:
    """Each member of a group is a chain of its own."""
    members = (member if isinstance(member, list) else [member] for member in _items(value))
    return [member for member in members if any(isinstance(stack, dict) for stack in member)]


def _frames(value: object) -> tuple[tuple[Frame, ...], int, int]:
    """Frames oldest first; how many the logger skipped, and before which index."""
    frames: list[Frame] = []
    skipped = skipped_at = 0
    for item in _items(value):
        if not isinstance(item, dict):
            continue
        name = _scalar(item.get("name"))
        if name.startswith(_SKIPPED) and item.get("lineno") == -1:
            skipped, skipped_at = _digits(name.removeprefix(_SKIPPED)), len(frames)
        else:
            frames.append(Frame(_scalar(item.get("filename")), _lineno(item), name, locals=_locals(item.get("locals"))))
    return tuple(frames), skipped, skipped_at


def _locals(value: object) -> Mapping[str, str] | None:
    return {key: _scalar(item) for key, item in value.items() if isinstance(key, str)} if isinstance(value, dict) else None


def _syntax(value: object) -> Frame | None:
    """The place a SyntaxError points at, its line and caret as CPython would print them."""
    if not isinstance(value, dict):
        return None
    line = _scalar(value.get("line"))
    source = line.strip()
    offset = value.get("offset")
    column = offset - 1 - (len(line) - len(line.lstrip())) if isinstance(offset, int) else -1
    detail = (" " * column + "^",) if source and 0 <= column <= len(source) else ()
    return Frame(_scalar(value.get("filename")), _lineno(value), "", source or None, detail=detail)


def _without_place(message: str, syntax: Frame | None) -> str:
    """The message of a SyntaxError as CPython prints it; `str` of one ends in its place, which is separated."""
    return message.removesuffix(f" ({syntax.filename.rpartition('/')[2]}, line {syntax.lineno})") if syntax else message


# --- JSON of any shape -----------------------------------------------------------------------------------------------


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _scalar(value: object) -> str:
    """A text of a scalar; "" for what JSON nests (nothing here is ever rendered by recursion)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 1 << 64) else ""


def _lineno(value: Mapping[str, object]) -> int | None:
    lineno = value.get("lineno")
    return lineno if isinstance(lineno, int) and not isinstance(lineno, bool) and lineno >= 0 else None


def _digits(text: str) -> int:
    return int(text[:18]) if text[:18].isascii() and text[:18].isdigit() else 0
