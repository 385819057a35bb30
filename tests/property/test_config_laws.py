"""Any content of a configuration file or the environment is accepted, or every fault has a place, and no secret is shown."""
# ruff: noqa: PT017 - a law may hold by either way, so raising is not required

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.config import InvalidConfigError, Settings, from_environment
from agent.config.document import parse
from agent.config.environment import VARIABLES
from agent.config.interpolate import substitute
from agent.config.loading import settings_of
from agent.config.tree import Tree
from agent.options import OptionError, parse_duration, parse_size

ROOT = Path(__file__).parents[2]
FULL = (ROOT / "config/full.yaml").read_bytes()
SECRET = "hunter2hunter2"
ENV = {"COLLECTOR_TOKEN": SECRET}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["auto", "5s", "64MiB", "http://a", "x.log"])
)
keys = st.sampled_from(
    [*Settings.model_fields, "type", "name", "listen", "include", "endpoint", "headers", "tls", "url", "interval", "quota"]
) | st.text(max_size=8)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5), max_leaves=25)
types = st.sampled_from(["log_files", "stdin", "process_tree", "http", "tcp", "otlp_http", "console", "file", "sentry", "nonsense"])
entries = st.builds(lambda name, options: {"type": name, **options}, types, st.dictionaries(keys, trees, max_size=5))
roots = st.dictionaries(st.sampled_from(list(Settings.model_fields)), trees | st.lists(entries, max_size=3), max_size=6)


def accepted_or_explained(tree: Tree) -> None:
    """Check a tree; whatever is refused is refused with places and words."""
    try:
        settings = settings_of(tree)
    except InvalidConfigError as error:
        assert error.faults
        assert all(fault.place.source and fault.message for fault in error.faults)
        assert SECRET not in str(error)
    else:
        assert SECRET not in f"{settings!r}{settings.model_dump_json()}"


@given(st.binary(max_size=400))
@example(b"\xef\xbb\xbfservice: {name: a}")
@example(b"\x85")
@example(b"a: !<tag:yaml.org,2002:int> x")
@example(b"? ? ? a")
@example(b"a: " + b"9" * 5000)
@example(b"spool: {quota: '" + b"9" * 5000 + b"'}\nshutdown: {drain: '" + b"9" * 400 + b"s'}")
@example(b"spool: {quota: 1" + b"0" * 400 + b"}\nshutdown: {drain: 1" + b"0" * 400 + b"}")
@example(b"server: {listen: 'a:" + b"9" * 5000 + b"'}")
@example(b"a: -.inf\nb: 0b2\nc: 1e999")
def test_any_bytes(data):
    """No bytes make the reader raise anything but its list of faults."""
    accepted_or_explained(parse(data, "f.yaml", ENV))


@given(st.integers(0, len(FULL) - 1), st.integers(0, 30), st.text(string.printable, max_size=10))
def test_a_damaged_file(at, length, instead):
    """A good file with a piece exchanged is accepted or explained."""
    accepted_or_explained(parse(FULL[:at] + instead.encode() + FULL[at + length :], "f.yaml", ENV))


@given(roots)
def test_any_values(data):
    """No values, of whatever type at whatever place, make the checks raise anything but their list of faults."""
    accepted_or_explained(Tree("made", data))


@given(st.dictionaries(st.sampled_from(list(VARIABLES)) | st.just("OTEL_EXPORTER_OTLP_ENDPOINT"), st.text(max_size=40), max_size=6))
def test_any_environment(env):
    """No environment makes the agent raise anything but the list of faults, each with its variable."""
    try:
        from_environment(env)
    except InvalidConfigError as error:
        assert {fault.place.source for fault in error.faults} <= {*env, "environment"}


@given(st.text(st.sampled_from("${}:-ABab \n"), max_size=30), st.dictionaries(st.sampled_from(["A", "B", "AB"]), st.text(max_size=5)))
def test_substitution(text, env):
    """Substitution of any text ends, reports each bad reference, and leaves a text without dollars as it is."""
    found = substitute(text, env)
    assert set(found.names) <= {"A", "B", "AB", "a", "b", "ab"} | {name for name in found.names if name}
    if "$" not in text:
        assert found == (text, (), ())
    assert substitute(text.replace("$", "$$"), env).text == text


@given(st.integers(0, 10**15 - 1), st.sampled_from(["", "B", "kB", "KiB", "MB", "MiB", "GB", "GiB"]))
def test_sizes_are_exact(number, unit):
    """A size in whole numbers is exact, however large."""
    factor = {"": 1, "B": 1, "kB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3}[unit]
    assert parse_size(f"{number}{unit}") == number * factor


@given(st.text(max_size=12))
def test_sizes_and_durations_of_any_text(text):
    """Any text is a size or a duration, or refused with a fix."""
    for parser in (parse_size, parse_duration):
        try:
            assert parser(text) >= 0
        except OptionError as error:
            assert error.fix


@pytest.mark.parametrize("depth", [10, 39, 40, 41, 5000])
def test_any_depth(depth):
    """Depth is refused before it can exhaust the stack."""
    accepted_or_explained(parse(b"a: " + b"[" * depth + b"]" * depth, "f.yaml", {}))
