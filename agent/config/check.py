"""One mapping against one model: secrets read from their files, every pydantic error turned into a fault with place and fix."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from agent.config.fields import TWIN, field_at, is_secret, keys_of, known_keys, model_at, model_in, parts_of, secret_keys
from agent.config.tree import Fault, Route, Tree, dotted, kind_of
from agent.options import MASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

_SENSITIVE: Final = re.compile("auth|key|token|secret|cookie|password", re.IGNORECASE)
"""Of a mapping of headers only some are secrets: `X-Scope-OrgID` is none."""

Model = TypeVar("Model", bound=BaseModel)


class Site(NamedTuple):
    """Where the mapping that is checked stands."""

    tree: Tree
    route: Route
    also: tuple[str, ...] = ()
    """Keys that stand there as well but that somebody else reads: for suggestions."""

    def fault(self, route: Route, message: str, fix: str = "") -> None:
        """Note a fault at the value at a route below."""
        full = (*self.route, *route)
        self.tree.faults.append(Fault(self.tree.value_place(full), dotted(full), message, fix))


def check(model: type[Model], data: Mapping[str, object], site: Site) -> Model | None:
    """The model's instance, or None and faults in the tree."""
    with_secrets = _read_secrets(model, data, site)
    result = _validate(model, with_secrets)
    if isinstance(result, list) and _retype(result, with_secrets, site):
        result = _validate(model, with_secrets)
    if not isinstance(result, list):
        return result
    faults = _merge(_fault(error, model, with_secrets, site) for error in result)
    told = {fault.path.removesuffix(TWIN) for fault in site.tree.faults}
    inner = [*told, *(fault.path for fault in faults)]
    site.tree.faults.extend(fault for fault in faults if fault.path not in told and not _follows(fault.path, inner))
    return None


def _follows(path: str, others: Iterable[str]) -> bool:
    """Whether a fault may only follow from another one inside the same value: a list whose one item is wrong is then too short."""
    return any(other.startswith((f"{path}.", f"{path}[")) for other in others)


def suggest(word: str, known: Iterable[str]) -> str:
    """A fix for a word that isn't one of the known: the closest, or all of them."""
    candidates = sorted(known)
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.75)
    return f"did you mean {close[0]!r}?" if close else "known are " + ", ".join(candidates)


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


def _explain(error: ErrorDetails) -> tuple[str, str]:
    """What is wrong and what to do, in words about YAML instead of Python."""
    kind, cause, value = error["type"], _cause(error), error["input"]
    if kind == "missing":
        return "is required", "add it"
    if cause is not None:
        return str(cause), str(getattr(cause, "fix", ""))
    if kind in ("literal_error", "enum"):
        choices = re.sub(r"<[^:>]+: ([^>]+)>", r"\1", error["ctx"]["expected"])  # an enum's members print as <Signal.LOGS: 'logs'>
        close = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", choices), n=1)
        return f"must be {choices}", f"did you mean {close[0]!r}?" if close else ""
    if kind in _WANTED:
        fix = "put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
        return f"must be {_WANTED[kind]}, not {kind_of(value)}", fix
    return re.sub(r"^(Input|Value|String|List|Tuple|Dictionary) should", "must", error["msg"]), ""


def _merge(faults: Iterable[Fault]) -> list[Fault]:
    """One fault per place: the members of a union each have something to say about the same value."""
    merged: dict[str, Fault] = {}
    for fault in faults:
        other = merged.setdefault(fault.path, fault)
        if fault.message not in other.message:
            merged[fault.path] = other._replace(message=f"{other.message}, or {fault.message}", fix=other.fix or fault.fix)
    return list(merged.values())


def _read_secrets(model: type[BaseModel], data: Mapping[str, object], site: Site) -> dict[str, object]:
    """A copy of the mapping where each `<secret>_file` is replaced by what its file holds, at every depth."""
    result = dict(data)
    for key, field in keys_of(model).items():
        inner = model_in(field.annotation)
        if inner is not None and key in result:
            result[key] = _read_inner(inner, result[key], site._replace(route=(*site.route, key)))
    for key in secret_keys(model):
        if result.get(key + TWIN) is not None:
            _read_secret(key, result, site)
    return result


def _read_inner(model: type[BaseModel], value: object, site: Site) -> object:
    if isinstance(value, dict):
        return _read_secrets(model, value, site)
    if isinstance(value, list):
        return [_read_inner(model, item, site._replace(route=(*site.route, index))) for index, item in enumerate(value)]
    return value


def _read_secret(key: str, data: dict[str, object], site: Site) -> None:
    here = (*site.route, key)
    name = data.pop(key + TWIN)
    if key in data:
        site.fault((key + TWIN,), f"{key} is given as well", "keep one of the two")
        return
    secret, problem = _read_text(str(name))
    if problem:
        site.fault((key + TWIN,), problem, "create it or correct the path")
    site.tree.values[here] = site.tree.value_place((*site.route, key + TWIN))
    site.tree.texts[here] = secret
    data[key] = secret


def _read_text(name: str) -> tuple[str, str]:
    """What a secret's file holds without its last newline, and what is wrong with it."""
    try:
        secret = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        return "", f"cannot read {name}: {error.strerror}"
    except ValueError:  # not UTF-8, or a NUL in the name
        return "", f"cannot read {name}: it is not text"
    return secret, "" if secret else f"{name} is empty"


def literal_secrets(model: type[BaseModel], data: object, site: Site) -> Iterator[Fault]:
    """A warning for each secret that stands in the file itself."""
    for route, twin in _secret_routes(model, data, ()):
        here = (*site.route, *route)
        place = site.tree.value_place(here)
        if here not in site.tree.texts and place.line:
            fix = "write ${NAME} and set NAME in the environment" + (f", or name a file with {twin}" if twin else "")
            yield Fault(place, dotted(here), "a secret stands in the file", fix)


def _secret_routes(model: type[BaseModel], data: object, route: Route) -> Iterator[tuple[Route, str]]:
    """The routes of all secrets given as text, each with the name of its twin."""
    if isinstance(data, list):
        for index, item in enumerate(data):
            yield from _secret_routes(model, item, (*route, index))
    if not isinstance(data, dict):
        return
    for key, field in keys_of(model).items():
        value, inner = data.get(key), model_in(field.annotation)
        if inner is not None:
            yield from _secret_routes(inner, value, (*route, key))
        elif is_secret(field) and isinstance(value, str):
            yield (*route, key), key + TWIN
        elif SecretStr in parts_of(field.annotation) and isinstance(value, dict):
            yield from (((*route, key, name), "") for name in value if _SENSITIVE.search(name))
