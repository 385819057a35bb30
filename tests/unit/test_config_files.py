"""Whole configuration files: one bad file per rule, with its message in its first lines, and good ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import InvalidConfigError, read

ROOT = Path(__file__).parents[2]
BAD = sorted((ROOT / "tests/config/bad").glob("*.yaml"))
GOOD = sorted([*(ROOT / "tests/config/good").glob("*.yaml"), *(ROOT / "config").glob("*.yaml")])
ENV = {"SENTRY_DSN": "https://public@sentry.example/1", "COLLECTOR_TOKEN": "Bearer 123456", "PORT": "9465"}


def expected(text: str, name: str) -> list[str]:
    """The messages in the leading comment."""
    lines = text.split("\n")
    count = next(index for index, line in enumerate(lines) if not line.startswith("# "))
    return [f"{name}:{line.removeprefix('# ')}" for line in lines[:count]]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_file(path, monkeypatch):
    """A bad file is refused with exactly the faults that stand in its first lines, each with line, column, path and fix."""
    monkeypatch.chdir(path.parent)
    with pytest.raises(InvalidConfigError) as caught:
        read(Path(path.name), {})
    assert str(caught.value).split("\n") == expected(path.read_text(), path.name)
    assert len(caught.value.faults) == len(expected(path.read_text(), path.name))
    assert all(fault.fix for fault in caught.value.faults)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_file(path, monkeypatch):
    """A good file and every published example is accepted, without a warning."""
    monkeypatch.chdir(path.parent)
    assert read(path, {name: value for name, value in ENV.items() if f"${{{name}" in path.read_text()}).warnings == ()


def test_there_are_files():
    """The directories of bad and good files are found."""
    assert len(BAD) >= 40
    assert len(GOOD) >= 4
