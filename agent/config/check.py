"""One mapping against one model: secrets read from their files, every pydantic error turned into a fault with place and fix."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from agent.config.fields import field_at, known_keys, model_at, parts_of
from agent.config.secrets import read_secrets
from agent.config.tree import TWIN, Fault, Route, Site, dotted, kind_of
from agent.options import MASK, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


def check(model: type[Model], data: Mapping[str, object], site: Site) -> Model | None:
    """The model's instance, or None and faults in the tree."""
    with_secrets = read_secrets(model, data, site)
    result = _validate(model, with_secrets)
    if isinstance(result, list) and _retype(result, with_secrets, site):
        result = _validate(model, with_secrets)
    if not isinstance(result, list):
        return result
    faults = _merge(_fault(error, model, with_secrets, site) for error in result)
    reported = {fault.path.removesuffix(TWIN) for fault in site.tree.faults}
    inner = [*reported, *(fault.path for fault in faults)]
    site.tree.faults.extend(fault for fault in faults if fault.path not in reported and not _follows(fault.path, inner))
    return None


def _follows(path: str, others: Iterable[str]) -> bool:
    """Whether a fault may only follow from another one inside the same value: a list whose one item is wrong is then too short."""
    return any(other.startswith((f"{path}.", f"{path}[")) for other in others)


def suggest(word: str, known: Iterable[str]) -> str:
    """A fix for an unknown word: the closest known one, or all of them."""
    candidates = sorted(set(known))
    close = closest(word, candidates, cutoff=0.75) or _only([one for one in candidates if word and (word in one or one in word)])
    return f"did you mean {close!r}?" if close else "known are " + ", ".join(candidates)


def _only(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ""


def _validate(model: type[Model], data: Mapping[str, object]) -> Model | list[ErrorDetails]:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        return error.errors(include_url=False)


def _retype(errors: list[ErrorDetails], data: Mapping[str, object], site: Site) -> bool:
    """Give scalars from the environment their text back where text is wanted: a password may consist of digits."""
    changed = False
    for error in errors:
        here = _locate(error, data)
        text = site.tree.texts.get((*site.route, *here))
        if error["type"] == "string_type" and text is not None:
            _put(data, here, text)
            changed = True
    return changed


def _put(data: object, route: Route, value: str) -> None:
    for part in route[:-1]:
        data = _child(data, part)
    if isinstance(data, dict):
        data[str(route[-1])] = value
    elif isinstance(data, list):
        data[int(route[-1])] = value


def _child(data: object, part: str | int) -> object:
    if isinstance(data, dict) and isinstance(part, str):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


def _locate(error: ErrorDetails, data: object) -> Route:
    """The route of an error's location, without the names of union members that pydantic puts in between."""
    here: list[str | int] = []
    for part in error["loc"]:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            here.append(part)
            data = _child(data, part)
    if error["type"] == "missing":
        here.append(error["loc"][-1])
    key = getattr(_cause(error), "key", "")
    return (*here, key) if key else tuple(here)


def _cause(error: ErrorDetails) -> object:
    """The exception of our own that a validator raised."""
    return error.get("ctx", {}).get("error")


def _fault(error: ErrorDetails, model: type[BaseModel], data: Mapping[str, object], site: Site) -> Fault:
    here = _locate(error, data)
    route = (*site.route, *here)
    if error["type"] == "extra_forbidden":
        fix = suggest(str(here[-1]), [*known_keys(model_at(model, here[:-1])), *(site.also if len(here) == 1 else ())])
        return Fault(site.tree.key_place(route), dotted(route), "unknown key", fix)
    message, fix = _explain(error)
    field = field_at(model, here)
    if field is not None and SecretStr in parts_of(field.annotation) and isinstance(error["input"], str) and error["input"]:
        message, fix = message.replace(error["input"], MASK), fix.replace(error["input"], MASK)
    return Fault(site.tree.value_place(route), dotted(route), message, fix)


_WANTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "path_type": "text",
}


_FIXES: Final = {
    "text": "write one text",
    "a whole number": "write digits",
    "a number": "write a number",
    "true or false": "write true or false, without quotes",
    "a list": "write it as a list, as in [a, b]",
    "a mapping": "write its options below it, each as `name: value`",
}
"""The wanted type → the fix."""
_BOUNDS: Final = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
"""Pydantic's kind of error → its words, and where the bound stands."""


def _explain(error: ErrorDetails) -> tuple[str, str]:
    """The message and the fix, in words about YAML instead of Python."""
    kind, cause, value = error["type"], _cause(error), error["input"]
    if kind == "missing":
        return "is required", f"add `{error['loc'][-1]}: …`"
    if cause is not None:
        return str(cause), str(getattr(cause, "fix", ""))
    if kind in ("literal_error", "enum"):
        choices = re.sub(r"<[^:>]+: ([^>]+)>", r"\1", error["ctx"]["expected"])  # an enum's members print as <Signal.LOGS: 'logs'>
        known = re.findall(r"'([^']*)'", choices)
        close = next(filter(None, (closest(word, known) for word in (str(value), str(value).upper(), str(value).lower()))), "")
        return f"must be {choices}", f"did you mean {close!r}?" if close else "write one of these"
    if kind in _WANTED:
        fix = "put it in quotes" if kind == "string_type" and isinstance(value, int | float) else _FIXES[_WANTED[kind]]
        return f"must be {_WANTED[kind]}, not {kind_of(value)}", fix
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", "write something there, or leave the option out"
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"must be {words} {_bound(error['ctx'][key])}", f"write {words} {_bound(error['ctx'][key])}"
    message = re.sub(r"^(Input|Value|String|List|Tuple|Dictionary) should", "must", error["msg"])
    return message, "write such a value, or leave the option out for its default"


def _bound(number: float) -> str:
    """A bound of an option, in the largest unit of bytes that it is a multiple of."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number >= 1 << power and number % (1 << power) == 0:
            return f"{number / (1 << power):g} {unit} ({number})"
    return f"{number:g}"


def _merge(faults: Iterable[Fault]) -> list[Fault]:
    """One fault per place: each member of a union reports its own for the same value."""
    merged: dict[str, Fault] = {}
    for fault in faults:
        other = merged.setdefault(fault.path, fault)
        if fault.message not in other.message:
            merged[fault.path] = other._replace(message=f"{other.message}, or {fault.message}", fix=other.fix or fault.fix)
    return list(merged.values())
