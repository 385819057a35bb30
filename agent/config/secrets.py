"""Secrets of a configuration: read from their files, and warned about where they stand in the configuration itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, SecretStr

from agent.config.fields import holds_secrets, is_secret, keys_of, model_in, parts_of, secret_keys
from agent.config.tree import TWIN, Fault, Route, Site, dotted
from agent.options import MASK, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SENSITIVE: Final = re.compile("auth|key|token|secret|cookie|password", re.IGNORECASE)
"""Of a mapping of headers only some are secrets: `X-Scope-OrgID` is none."""

_URL_PASSWORD: Final = re.compile(r"://[^/@\s:]*:[^/@\s]+@")


def read_secrets(model: type[BaseModel], data: Mapping[str, object], site: Site) -> dict[str, object]:
    """A copy of the mapping where each `<secret>_file` is replaced by what its file holds, at every depth."""
    result = dict(data)
    for key, field in keys_of(model).items():
        inner = model_in(field.annotation)
        if inner is not None and key in result:
            result[key] = _read_inner(inner, result[key], site._replace(route=(*site.route, key)))
        elif holds_secrets(field) and isinstance(named := result.get(key), dict):
            result[key] = _read_named(named, site._replace(route=(*site.route, key)))
    for key in secret_keys(model):
        if result.get(key + TWIN) is not None:
            _read_secret(key, result, site)
    return result


def _read_named(secrets: dict[str, object], site: Site) -> dict[str, object]:
    """A copy of a mapping of secrets, headers say, where each `<name>_file` is replaced by what its file holds."""
    result = dict(secrets)
    for name in [name for name in secrets if name.endswith(TWIN) and name != TWIN]:
        _read_secret(name.removesuffix(TWIN), result, site)
    return result


def _read_inner(model: type[BaseModel], value: object, site: Site) -> object:
    if isinstance(value, dict):
        return read_secrets(model, value, site)
    if isinstance(value, list):
        return [_read_inner(model, item, site._replace(route=(*site.route, index))) for index, item in enumerate(value)]
    return value


def _read_secret(key: str, data: dict[str, object], site: Site) -> None:
    here = (*site.route, key)
    name = data.pop(key + TWIN)
    if key in data:
        site.fault((key + TWIN,), f"{key} is given as well", "keep one of the two")
        return
    try:
        secret = _read_text(str(name))
    except OptionError as error:
        site.fault((key + TWIN,), str(error), error.fix)
        secret = MASK  # so that no other fault follows from this one
    site.tree.values[here] = site.tree.value_place((*site.route, key + TWIN))
    site.tree.texts[here] = secret
    data[key] = secret


def _read_text(name: str) -> str:
    """The content of a secret's file without its last newline; OptionError if it has none."""
    try:
        secret = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
    except PermissionError as error:
        raise OptionError(f"cannot read {name}: {error.strerror}", f"let user {os.geteuid()} read it") from error
    except OSError as error:
        raise OptionError(f"cannot read {name}: {error.strerror}", "create it or correct the path") from error
    except ValueError as error:  # not UTF-8, or a NUL in the name
        raise OptionError(f"cannot read {name}: it is not text", "write the secret into it, as UTF-8") from error
    if not secret:
        raise OptionError(f"{name} is empty", "write the secret into it")
    return secret


def literal_secrets(model: type[BaseModel], data: object, site: Site) -> Iterator[Fault]:
    """A warning for each secret that stands in the file itself."""
    for route, twin in _secret_routes(model, data, ()):
        here = (*site.route, *route)
        place = site.tree.value_place(here)
        if here not in site.tree.texts and place.line:
            fix = "write ${NAME} and set NAME in the environment" + (f", or name a file with {twin}" if twin else "")
            yield Fault(place, dotted(here), "a secret stands in the file", fix)


def literal_passwords(data: object, site: Site) -> Iterator[Fault]:
    """A warning for each URL with a password that stands in the file itself."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from literal_passwords(value, site._replace(route=(*site.route, key)))
    elif isinstance(data, str) and _URL_PASSWORD.search(data) and site.route not in site.tree.texts:
        place = site.tree.value_place(site.route)
        if place.line:
            yield Fault(
                place, dotted(site.route), "a URL with a password stands in the file", "write ${NAME} for the password, or for all of it"
            )


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
            names = [name for name in value if _SENSITIVE.search(name) and not name.endswith(TWIN)]
            yield from (((*route, key, name), name + TWIN) for name in names)
