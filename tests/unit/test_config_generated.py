"""The published files are those generated from the code, and the schema means what the checks mean."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from agent import registry
from agent.component import ComponentConfig
from agent.config import components, schema
from agent.config.reference import reference, schema_text
from agent.generate import main
from agent.options import Secret  # noqa: TC001 - pydantic reads it
from agent.registry import rows

ROOT = Path(__file__).parents[2]


def test_no_drift(tmp_path):
    """config/ holds the schema and the reference of this very code; `make generate` writes them."""
    main(tmp_path)
    assert (ROOT / "config/outrider.schema.json").read_bytes() == (tmp_path / "outrider.schema.json").read_bytes() == schema_text()
    assert (ROOT / "config/reference.md").read_text() == (tmp_path / "reference.md").read_text() == reference()


def test_every_component_and_option_is_described():
    """Each component has a summary, and each option a type and a sentence."""
    found = components()
    assert [(one.kind, one.type) for one in found] == [(row.kind, row.type) for row in rows()]
    assert [one.type for one in found if not one.summary.endswith(".")] == []
    nameless = [f"{one.type}: {option.path}" for one in found for option in one.options if option.path != "type" and not option.text]
    assert nameless == []
    assert [option.path for one in found for option in one.options if not option.type] == []


def test_every_variable_is_described():
    """The reference names each variable of the environment."""
    text = reference()
    for name in (
        "OUTRIDER_STATE_DIR",
        "OUTRIDER_LOG_FILES",
        "OUTRIDER_TARGET",
        "OUTRIDER_PROBES",
        "OUTRIDER_LISTEN",
        "OTEL_EXPORTER_OTLP_*",
    ):
        assert f"`{name}`" in text


def test_examples_name_their_schema():
    """An editor finds the schema of each example."""
    for path in (ROOT / "config").glob("*.yaml"):
        assert path.read_text().startswith("# yaml-language-server: $schema=outrider.schema.json\n"), path


@pytest.fixture(scope="module")
def validator():
    """The schema, as an editor uses it."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())
    return jsonschema.Draft202012Validator(schema())


def load(path: Path):
    """A file as an editor sees it: references are text."""
    return YAML(typ="safe", pure=True).load(path.read_text()) or {}


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "config").glob("*.yaml"), *(ROOT / "tests/config/good").glob("*.yaml")]), ids=lambda path: path.stem
)
def test_good_files_satisfy_the_schema(validator, path):
    """Accepted configurations satisfy the schema, references to the environment included."""
    data = {key: value for key, value in load(path).items() if value is not None}
    assert [error.message for error in validator.iter_errors(data)] == []


STRUCTURAL = [
    "bad_duration",
    "bad_size",
    "bad_url",
    "entry_is_text",
    "missing_type",
    "not_a_choice",
    "not_a_member",
    "planned_type",
    "several",
    "unknown_key",
    "unknown_key_nested",
    "unknown_option",
    "unknown_type",
    "wrong_type",
    "wrong_type_of_list",
    "wrong_type_of_section",
]
"""The bad files whose fault a schema can see."""


@pytest.mark.parametrize("name", STRUCTURAL)
def test_bad_files_do_not_satisfy_the_schema(validator, name):
    """Faults that an editor can see violate the schema."""
    assert list(validator.iter_errors(load(ROOT / f"tests/config/bad/{name}.yaml"))) != []


class Vault:
    """A component with a required secret and an optional one."""

    class Config(ComponentConfig):
        """Options."""

        token: Secret
        """The token."""
        key: Secret | None = None
        """The key."""

    def __init__(self, config, context):
        pass


def test_a_secret_may_stand_in_a_file(monkeypatch, tmp_path):
    """The schema and the reference know the `_file` twin of each secret; of a required one exactly one of the two is needed."""
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.setitem(registry.EXPORTERS, "vault", "vault:Vault")
    real = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: Vault if name == "vault" else real(kind, name))
    monkeypatch.setitem(sys.modules, Vault.__module__, sys.modules.get(Vault.__module__) or type(sys)("vault", "A vault."))
    check = jsonschema.Draft202012Validator(schema())
    answers = {
        "token: x": True,
        "token_file: x": True,
        "key_file: x, token: x": True,
        "token: x, token_file: x": False,
        "key: x": False,
    }
    for options, good in answers.items():
        data = YAML(typ="safe", pure=True).load(f"exporters: [{{type: vault, {options}}}]")
        assert check.is_valid(data) is good, options
    (vault,) = [one for one in components() if one.type == "vault"]
    assert [(option.path, option.type, option.default) for option in vault.options[2:]] == [
        ("token", "secret", ""),
        ("key", "secret", ""),
        ("token_file", "path", ""),
        ("key_file", "path", ""),
    ]
