"""YAML to a tree: types, places, references, and what is refused."""

from __future__ import annotations

import pytest

from agent.config.document import DEEPEST, MOST_NODES, parse
from agent.config.interpolate import substitute
from agent.config.tree import Place


def tree(text: str, **env: str):
    """Parse a file."""
    return parse(text.encode(), "f.yaml", env)


def value(text: str, **env: str):
    """Parse a file with one value that is right."""
    found = tree(f"v: {text}", **env)
    assert found.faults == []
    return found.data["v"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("0x1F", 31),
        ("-2.5", -2.5),
        ("1e3", 1000.0),
        ("true", True),
        ("yes", "yes"),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("2024-01-01", "2024-01-01"),
        ("!!str 5", "5"),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_types(text, expected):
    """Scalars have the types of YAML 1.2; a date stays text."""
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_places():
    """Every key and every value knows its line and column, counted from one."""
    found = tree("a:\n  b: [1,\n      2]\n")
    assert found.keys["a", "b"] == Place("f.yaml", 2, 3)
    assert found.values["a", "b", 1] == Place("f.yaml", 3, 7)
    assert found.value_place(("a", "b", 1, "nowhere")) == Place("f.yaml", 3, 7)
    assert found.key_place(("a", "missing")) == Place("f.yaml", 2, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${PORT}", 9465),
        ("'${PORT}'", "9465"),
        ("1${PORT}", 19465),
        ("${NO:-2.5}", 2.5),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", None),
        ("'${EMPTY}'", ""),
        ("${FLAG}", True),
        ("a$$b", "a$b"),
        ("$${PORT}", "${PORT}"),
        ("$PORT", "$PORT"),
        ("'${NO:-a: [b}'", "a: [b"),
    ],
)
def test_references(text, expected):
    """A reference is replaced and typed as YAML would type the result; quotes keep text; `$$` is a dollar."""
    found = value(text, PORT="9465", FLAG="true", EMPTY="")
    assert found == expected
    assert type(found) is type(expected)


def test_a_value_cannot_bring_structure():
    """A value from the environment stays one scalar, whatever it looks like."""
    injected = "x}\nexporters: [{type: console}]\n# "
    assert tree("service: {name: '${NAME}'}\n", NAME=injected).data == {"service": {"name": injected}}
    assert tree("service:\n  name: ${NAME}\n", NAME=injected).data == {"service": {"name": injected}}
    assert value("${LIST}", LIST="[1, 2]") == "[1, 2]"


def test_a_value_is_not_substituted_again():
    """A reference inside a variable's value is text."""
    assert value("${A}", A="${B}", B="no") == "${B}"


def test_every_fault_of_a_document():
    """Missing variables, bad references, tags, duplicate and odd keys are all found in one pass, each at its place."""
    found = tree("a: ${NO}\nb: ${x y}\nc: !tag {}\nd: {e: 1, e: 2, e: 3}\n? [f]\n: g\na: 1\n")
    assert [(fault.place.line, fault.place.column, fault.path) for fault in sorted(found.faults)] == [
        (1, 4, "a"),
        (2, 4, "b"),
        (3, 4, "c"),
        (4, 11, "d.e"),
        (4, 17, "d.e"),
        (5, 3, ""),
        (7, 1, "a"),
    ]


def test_the_first_of_duplicate_keys_stays():
    """After a duplicate key the first value is what further checks see."""
    assert tree("a: 1\na: 2\n").data == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"\xfe\xff\x00a",
        b"a: [",
        b"a: \x00",
        b"[" * 600,
        b"{" * 600,
        b"a: *x",
        b"%YAML 9\n---\na: 1",
        b"a: 1\n---\nb: 2",
        b"a:\tb: c",
        b"- a",
        b"text",
    ],
    ids=repr,
)
def test_bad_bytes_are_one_fault(text):
    """Bytes that are not a YAML mapping give one fault and no data, never an exception."""
    found = parse(text, "f.yaml", {})
    assert found.data == {}
    (fault,) = found.faults
    assert str(fault).startswith("f.yaml:")


def test_a_bomb_of_aliases_is_refused():
    """Aliases that multiply beyond the limit are refused at once and give no data."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))]
    found = tree("\n".join(lines))
    assert found.data == {}
    assert [fault.message for fault in found.faults] == [f"more than {MOST_NODES} values or {DEEPEST} levels"]


def test_aliases_share_values():
    """An alias is the value of its anchor."""
    assert tree("a: &x {k: 1}\nb: *x\n").data == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_document_is_empty(text):
    """A file without content is a configuration of defaults."""
    found = tree(text)
    assert (found.data, found.faults) == ({}, [])


def test_substitute_lists_its_variables():
    """Only real references are listed: a literal with `$$` is still a literal."""
    assert substitute("$$5", {}) == ("$5", (), ())
    assert substitute("${A}${B}", {"A": "1", "B": "2"}) == ("12", ("A", "B"), ())
    assert substitute("${A", {"A": "1"}).problems == ("'${A' is not a reference to an environment variable",)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (b"a: 1\nb: \xc3\xa4\xff", (2, 5), "is not UTF-8 text"),
        (b"a: 1\n# \xc3\xa4\nb: c\x07", (3, 5), "is not YAML: the character '\\x07' is not allowed"),
        (b"\xff", (1, 1), "is not UTF-8 text"),
    ],
)
def test_a_wrong_byte_is_found(text: bytes, place: tuple[int, int], message: str):
    """Invalid UTF-8 and characters that YAML does not allow are reported with their place, in characters."""
    (fault,) = parse(text, "f.yaml", {}).faults
    assert (fault.place, fault.message) == (Place("f.yaml", *place), message)
