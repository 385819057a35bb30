"""Expectations of a probed answer: statuses, patterns, JSON values and their age. Pure; each check returns a sentence that says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import orjson
from pydantic import BeforeValidator, WithJsonSchema

from agent.net.message import shown_location
from agent.options import OptionError
from agent.parse.patterns import compile_pattern
from agent.parse.timestamps import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.record import Value

    Scalar = None | bool | int | float | str

_MISSING: Final = object()
_SHOWN: Final = 60
"""Characters of a found value that a reason shows."""


class Failure(NamedTuple):
    """An expectation that is not met."""

    reason: str
    by_pattern: bool = False
    """Whether a pattern decided it: blackbox_exporter counts that separately (`probe_failed_due_to_regex`)."""


def _status(value: object) -> object:
    text = str(value) if isinstance(value, int) else value  # YAML reads a status as a number
    if not isinstance(text, str):
        return value
    plain = text.isascii() and len(text) == 3 and text[0] in "12345"
    if not (plain and (text[1:].isdigit() or text[1:].lower() == "xx")):
        raise OptionError(f"{text!r} is not an HTTP status", 'write a number as in "204", or a class as in "2xx"')
    return text.lower()


_SCHEMA: Final = {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string"}], "title": "status"}
StatusClass = Annotated[str, BeforeValidator(_status), WithJsonSchema(_SCHEMA)]
"""A status as in `204`, or a class of them as in `2xx`."""


def check_status(status: int, accepted: Sequence[str], location: str = "") -> Failure | None:
    """Check that the status is accepted, by itself or by its class; the reason shows a redirect's `location`."""
    if str(status) in accepted or f"{status // 100}xx" in accepted:
        return None
    aim = f" (redirected to {shown_location(location)})" if 300 <= status < 400 and location else ""
    return Failure(f"answered {status}{aim}, expected {' or '.join(accepted)}")


def check_text(what: str, text: str, present: str | None, absent: str | None) -> Failure | None:
    """Check that one pattern is found and that the other is not."""
    if present is not None and compile_pattern(present).search(text) is None:
        return Failure(f"{what} does not match {present!r}", by_pattern=True)
    if absent is not None and compile_pattern(absent).search(text) is not None:
        return Failure(f"{what} matches {absent!r}", by_pattern=True)
    return None


def check_headers(headers: Sequence[tuple[str, str]], patterns: Mapping[str, str]) -> Failure | None:
    """Check that each of these headers is there and matches its pattern."""
    for name, pattern in patterns.items():
        values = [value for key, value in headers if key == name.lower()]
        if not any(compile_pattern(pattern).search(value) for value in values):
            return Failure(f"the header {name} does not match {pattern!r}" if values else f"there is no header {name}", by_pattern=True)
    return None


def check_json(body: str, equal: Mapping[str, Scalar], younger: Mapping[str, float], now_ns: int) -> Failure | None:
    """Check the values at the paths in `equal`, and that the times at the paths in `younger` are at most so many seconds old."""
    if not equal and not younger:
        return None
    try:
        value: Value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Failure("the body is not JSON" if body.strip() else "the body is empty, not JSON")
    failures = (
        *(_unequal(value, path, wanted) for path, wanted in equal.items()),
        *(_old(value, path, age, now_ns) for path, age in younger.items()),
    )
    return next((failure for failure in failures if failure), None)


def _unequal(value: Value, path: str, wanted: Scalar) -> Failure | None:
    found = dig(value, path)
    if found is _MISSING:
        return Failure(f"the body has no {path}")
    if found == wanted and isinstance(found, bool) == isinstance(wanted, bool):
        return None
    return Failure(f"{path} is {_shown(found)}, expected {_shown(wanted)}")


def _old(value: Value, path: str, age: float, now_ns: int) -> Failure | None:
    found = dig(value, path)
    at_ns = parse_time(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else 0
    if not at_ns:
        return Failure(f"the body has no {path}" if found is _MISSING else f"{path} is not a time: {_shown(found)}")
    old = (now_ns - at_ns) / 1e9
    return Failure(f"{path} is {old:.0f} s old, expected at most {age:g} s") if old > age else None


def dig(value: object, path: str) -> object:
    """Return the value at a path of keys and indices, as in `checks.0.status`; `_MISSING` if there is none."""
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _MISSING
    return value


def _shown(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def check_expiry(not_after: float | None, margin: float | None, now: float) -> Failure | None:
    """Check that the certificate stays valid for `margin` seconds; times are seconds since the Unix epoch."""
    if margin is None or not_after is None or not_after - now >= margin:
        return None
    left = not_after - now
    return Failure(
        f"the certificate expired {-left / 86400:.1f} days ago" if left < 0 else f"the certificate expires in {left / 86400:.1f} days"
    )
