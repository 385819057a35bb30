"""The habits of the suites: what is selected, how folders are marked, what the agent may import."""

from __future__ import annotations

import ast
import asyncio
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import packages_distributions

import pytest

from conftest import DEFAULT_SELECTION, end, selection
from tests.conftest import SUITES
from tests.support import ROOT

SOURCES = sorted((ROOT / "strategy_agent").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize(
    ("markexpr", "arguments", "expected"),
    [
        ("", ["tests"], DEFAULT_SELECTION),
        ("", ["tests/unit"], DEFAULT_SELECTION),
        ("", ["tests/property"], ""),
        ("", ["tests/benchmarks/test_broker_registry_benchmark.py::test_lookup"], ""),
        ("", [str(ROOT / "tests/property/test_router_invariants.py")], ""),
        ("", ["somewhere/tests/property"], DEFAULT_SELECTION),
        ("property", ["tests"], "property"),
        ("not slow", ["tests/property"], "not slow"),
    ],
)
def test_what_is_asked_for_is_what_runs(markexpr: str, arguments: list[str], expected: str) -> None:
    """A marker expression is obeyed, a named suite is run, and otherwise the default holds."""
    assert selection(markexpr, arguments, ROOT) == expected


@pytest.mark.parametrize(
    "argument", ["benchmarks", "property/test_router_invariants.py", "./property", "../tests/benchmarks"]
)
def test_a_suite_can_be_named_from_inside_the_folder(argument: str) -> None:
    """Where pytest is started does not change what a path means."""
    assert selection("", [argument], ROOT / "tests") == ""


async def test_a_task_that_ignores_cancellation_is_ended_all_the_same() -> None:
    """It holds up neither the next test nor the end of the loop that they share."""

    async def stubborn() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end({task})
    assert task.done()


def test_a_test_carries_the_markers_of_its_folder(request: pytest.FixtureRequest) -> None:
    """The test at hand is in the unit folder, so it is a unit test and not a slow one."""
    assert {mark.name for mark in request.node.iter_markers()} >= {"unit"}
    assert request.node.get_closest_marker("slow") is None


def test_every_folder_is_a_suite_with_declared_markers() -> None:
    """No folder without markers, and no marker that is not declared."""
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    declared = {line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    assert folders == set(SUITES)
    assert {marker for markers in SUITES.values() for marker in markers} <= declared


def imported(source: str) -> set[str]:
    """Return the top-level packages that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_whatever_is_imported_is_declared() -> None:
    """Every third-party package that the agent imports is in its requirements."""
    used = set().union(*(imported(path.read_text()) for path in SOURCES))
    project = PROJECT["project"]
    declared = {requirement.partition(">")[0] for requirement in project["dependencies"]}
    providers = packages_distributions()
    for package in used - {"strategy_agent"} - sys.stdlib_module_names:
        assert {name.replace("_", "-") for name in providers[package]} & declared, package


def test_the_agent_does_not_know_its_observer() -> None:
    """Nothing here imports the sidecar's package."""
    assert all("agent" not in imported(path.read_text()) for path in SOURCES)
