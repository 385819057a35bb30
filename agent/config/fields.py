"""Facts about a model: its keys, the model at a route, its secrets. Used by validation, schema and reference alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args, get_origin

from pydantic import BaseModel, SecretStr

from agent.config.tree import TWIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from agent.config.tree import Route


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys that a mapping of this model may have, as they are written."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def parts_of(annotation: object) -> Iterator[object]:
    """An annotation and everything inside it."""
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


def model_in(annotation: object) -> type[BaseModel] | None:
    """The first model inside an annotation: that of `Tls | None`, of `list[Rule]`."""
    return next((part for part in parts_of(annotation) if isinstance(part, type) and issubclass(part, BaseModel)), None)


def is_secret(field: FieldInfo) -> bool:
    """Whether the option itself is a secret (not a collection of them)."""
    collections = (list, tuple, dict, set, frozenset)
    found = list(parts_of(field.annotation))
    return SecretStr in found and not any(getattr(part, "__origin__", None) in collections for part in found)


def secret_keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model's secrets, each of which has a `_file` twin."""
    return [key for key, field in keys_of(model).items() if is_secret(field)]


def holds_secrets(field: FieldInfo) -> bool:
    """Whether the option is a mapping of secrets, such as headers, each of which may be given as `<name>_file` as well."""
    return any(get_origin(part) is dict and get_args(part)[1] is SecretStr for part in parts_of(field.annotation))


def known_keys(model: type[BaseModel] | None) -> list[str]:
    """Everything that may be written in a mapping of this model."""
    return [] if model is None else [*keys_of(model), *(key + TWIN for key in secret_keys(model))]


def field_at(model: type[BaseModel], route: Route) -> FieldInfo | None:
    """The innermost option that a route leads through."""
    found: FieldInfo | None = None
    inside: type[BaseModel] | None = model
    for part in route:
        field = keys_of(inside).get(part) if inside is not None and isinstance(part, str) else None
        if field is not None:
            found, inside = field, model_in(field.annotation)
    return found


def model_at(model: type[BaseModel], route: Route) -> type[BaseModel] | None:
    """The model that describes the mapping at a route."""
    field = field_at(model, route)
    return model if field is None else model_in(field.annotation)
