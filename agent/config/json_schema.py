"""The JSON Schema of the configuration file, made from the models: so it can't drift away from what is checked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, cast

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from agent import registry
from agent.config.components import ENTRIES, SCHEMES, host_keys
from agent.config.docstrings import attribute_docstrings
from agent.config.fields import secret_keys
from agent.config.settings import Settings
from agent.config.tree import TWIN
from agent.registry import Kind

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core.core_schema import ModelSchema

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
Object = dict[str, Json]

REFERENCE: Final = "EnvironmentReference"
_NOT_TEXT: Final = frozenset({"integer", "number", "boolean"})
_REFERENCE_SCHEMA: Final[Object] = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
    "description": "`${NAME}` or `${NAME:-default}`: taken from the environment.",
}


class _Generator(GenerateJsonSchema):
    """Knows the options' docstrings, and that a secret may also stand in a file."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        result = super().model_schema(schema)
        for key, text in attribute_docstrings(schema["cls"]).items():
            if key in result.get("properties", {}):
                result["properties"][key].setdefault("description", text)
        for key in secret_keys(schema["cls"]):
            result["properties"][key + TWIN] = {"type": "string", "format": "path", "description": f"File that holds `{key}`."}
            if key in result.get("required", ()):
                result["required"].remove(key)
                result.setdefault("allOf", []).append({"oneOf": [{"required": [key]}, {"required": [key + TWIN]}]})
        return result


def schema() -> Object:
    """JSON Schema (draft 2020-12) of the configuration file, with every component type that can be imported here."""
    classes = {(row.kind, row.type): registry.load(row.kind, row.type) for row in registry.rows()}
    configs = {key: found.Config for key, found in classes.items()}
    models: list[type[BaseModel]] = [Settings, *ENTRIES.values(), *configs.values()]
    names, generated = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/$defs/{model}", schema_generator=_Generator
    )
    definitions = cast("dict[str, Object]", generated["$defs"])
    for (kind, name), config in configs.items():
        host = definitions[_name(names[ENTRIES[kind], "validation"])]
        entry = _entry(kind, name, host, definitions[_name(names[config, "validation"])])
        definitions[f"{kind}.{name}"] = entry | {"description": _summary(classes[kind, name])}
    root = definitions["Settings"]
    properties = cast("Object", root["properties"])
    for kind in Kind:
        properties[kind] = _list(kind, [name for of_kind, name in configs if of_kind is kind], cast("Object", properties[kind]))
    used = _reachable({name: cast("Object", _with_references(definition)) for name, definition in definitions.items()})
    titled = used.pop("Settings") | {"title": "Outrider configuration"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **titled, "$defs": {**used, REFERENCE: _REFERENCE_SCHEMA}}


def _summary(found: registry.ComponentClass) -> str:
    """The first paragraph of a component's module."""
    text = sys.modules[found.__module__].__doc__ or ""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _name(reference: JsonSchemaValue) -> str:
    return str(reference["$ref"]).removeprefix("#/$defs/")


def _entry(kind: Kind, name: str, host: Object, config: Object) -> Object:
    """One component's entry: the host's keys and its own in one mapping."""
    mine = cast("Object", host["properties"])
    own = cast("Object", config.get("properties", {}))
    properties: Object = {key: mine[key] for key in host_keys(kind)} | own | {"type": {"const": name}}
    by_url = kind is Kind.PROBE and name in SCHEMES.values()
    required: list[Json] = [*([] if by_url else ["type"]), *cast("list[Json]", config.get("required", []))]
    return config | {"title": f"{kind}: {name}", "properties": properties, "required": required}


def _list(kind: Kind, names: list[str], described: Object) -> Object:
    choices: list[Json] = [{"$ref": f"#/$defs/{kind}.{name}"} for name in names]
    return {"type": "array", "items": {"anyOf": choices}, "description": described["description"]}


def _reachable(definitions: dict[str, Object]) -> dict[str, Object]:
    """The definitions that the root uses, in a stable order."""
    found: set[str] = set()
    waiting = ["Settings"]
    while waiting:
        name = waiting.pop()
        if name not in found and name in definitions:
            found.add(name)
            waiting += _references(definitions[name])
    return {name: definitions[name] for name in sorted(found)}


def _references(part: Json) -> list[str]:
    if isinstance(part, list):
        return [name for item in part for name in _references(item)]
    if not isinstance(part, dict):
        return []
    here = part.get("$ref")
    inner = [name for item in part.values() for name in _references(item)]
    return [*inner, here.removeprefix("#/$defs/")] if isinstance(here, str) else inner


def _with_references(part: Json) -> Json:
    """The schema, where whatever is not free text may also be a reference to the environment."""
    if isinstance(part, list):
        return [_with_references(item) for item in part]
    if not isinstance(part, dict):
        return part
    result: Object = dict(part)
    for key in ("items", "additionalProperties"):
        if key in part:
            result[key] = _with_references(part[key])
    if isinstance(properties := part.get("properties"), dict):
        result["properties"] = {key: _with_references(value) for key, value in properties.items()}
    return _or_reference(result) if _is_constrained(part) else result


def _is_constrained(part: Json) -> bool:
    """Whether a text that is a reference would be refused."""
    if not isinstance(part, dict):
        return False
    if isinstance(choices := part.get("anyOf"), list):
        return any(map(_is_constrained, choices))
    return part.get("type") in _NOT_TEXT or (part.get("type") == "string" and ("enum" in part or "pattern" in part))


def _or_reference(part: Object) -> Object:
    outside: Object = {key: part[key] for key in ("default", "description", "title") if key in part}
    inside: Object = {key: value for key, value in part.items() if key not in outside}
    choices = inside.get("anyOf", [inside])
    return outside | {"anyOf": [*cast("list[Json]", choices), {"$ref": f"#/$defs/{REFERENCE}"}]}
