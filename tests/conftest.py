"""Habits of all suites: a folder's name is its marker, load and e2e are slow, a task or a descriptor that is left over fails its test."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HERE = Path(__file__).parent
FOLDER_MARKERS = {"integration": "integration", "load": "load", "property": "property", "benchmarks": "benchmark", "torture": "torture"}
SLOW_FOLDERS = {"load", "e2e"}

settings.register_profile("quiet", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("quiet"), derandomize=True, database=None)
"""The same examples each time, drawn from each law's source: new counterexamples are found by `make property` and `make long`, which draw
others each time, and never holds up a change that has nothing to do with it."""
settings.load_profile("quiet")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many rotations are played, and from which seed on."""
    parser.addoption(
        "--plays", type=int, default=100, help="plays of rotations whose contents begin alike (tests/property/test_tail_races.py)"
    )
    parser.addoption("--first-play", type=int, default=0, help="the seed of the first of these plays")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the folder it lives in."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
        if folder in FOLDER_MARKERS:
            item.add_marker(FOLDER_MARKERS[folder])
        if folder in SLOW_FOLDERS:
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Take the collected tests out of the garbage collector's sight: with ten thousand of them each `gc.collect()` of a test takes a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_inherited_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own OTEL_*, SENTRY_* and OUTRIDER_* variables must not configure what is tested."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "SENTRY_", "OUTRIDER_")) and name != "OUTRIDER_BENCH_COLLECTOR":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
async def no_task_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Cancel and report tasks that a test leaves behind. Does nothing for a test without an event loop of its own."""
    if "asyncio" not in request.keywords:
        yield
        return
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if not task.done() and task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    if left:
        pytest.fail(f"left behind: {left}")


@pytest.fixture
def open_files() -> Iterator[None]:
    """Fail when the test leaves a file descriptor open; asked for by tests of what opens files and sockets."""
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    left = {
        fd: os.readlink(f"/proc/self/fd/{fd}") for fd in set(os.listdir("/proc/self/fd")) - before if os.path.exists(f"/proc/self/fd/{fd}")
    }
    if left:
        pytest.fail(f"descriptors left open: {left}")
