"""Fixtures and habits of every suite: the event loop, left-over tasks, hypothesis, and the default selection."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

DEFAULT_SELECTION = "not property and not benchmark"
NAMED_ONLY = ("property", "benchmarks")
"""Suites that run when asked for, by marker or by folder, and not otherwise."""

GRACE = 0.5
"""Seconds that a cancelled or finishing task has to go away after its test."""

# Quiet and repeatable: nothing kept between runs, no dead-lines on a shared machine, no complaint about slow inputs.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "strategy-agent-hypothesis")
settings.register_profile(
    "quiet",
    database=None,
    deadline=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quiet")


def pytest_configure(config: pytest.Config) -> None:
    """Leave the named-only suites out by marker, unless they are asked for."""
    config.option.markexpr = selection(config.option.markexpr, config.args)


def selection(markexpr: str, arguments: Sequence[str]) -> str:
    """Return the marker expression to run with: the one given, or the default unless a folder names a suite."""
    named = any(f"tests/{suite}" in argument for suite in NAMED_ONLY for argument in arguments)
    return markexpr if markexpr or named else DEFAULT_SELECTION


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on the loop that the service runs on (the successor of the event-loop policy fixture)."""
    return {"default": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
async def no_leftover_tasks() -> AsyncIterator[None]:
    """Cancel what a test left running on the shared loop, and fail the test for it."""
    before = asyncio.all_tasks()
    yield
    mine = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() - before if task is not mine}
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    if left:
        pytest.fail(f"tasks left running, now cancelled: {sorted(task.get_name() for task in left)}")
