"""Fixtures and habits of every suite: the event loop, left-over tasks, hypothesis, and the default selection."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

DEFAULT_SELECTION = "not property and not benchmark"
TESTS = Path(__file__).resolve().parent / "tests"
NAMED_ONLY = ("property", "benchmarks")
"""Suites that run when asked for, by marker or by folder, and not otherwise."""

GRACE = 0.5
"""Seconds that a task has to finish after its test, and again to go away once it is cancelled."""

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
# To look for new counterexamples: other inputs each time, and twenty times as many.
settings.register_profile(
    "explore", parent=settings.get_profile("quiet"), derandomize=False, max_examples=2000, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quiet"))


def pytest_configure(config: pytest.Config) -> None:
    """Leave the named-only suites out by marker, unless they are asked for."""
    config.option.markexpr = selection(config.option.markexpr, config.args, config.invocation_params.dir)


def selection(markexpr: str, arguments: Sequence[str], folder: Path) -> str:
    """Return the marker expression to run with: the one given, or the default unless a path names a suite.

    Paths are as given to pytest in ``folder``, with or without a test's name behind ``::``.
    """
    paths = [(folder / argument.partition("::")[0]).resolve() for argument in arguments]
    named = any(TESTS / suite in (path, *path.parents) for suite in NAMED_ONLY for path in paths)
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
    await end(left)
    if left:
        pytest.fail(f"tasks left running, now cancelled: {sorted(task.get_name() for task in left)}")


async def end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks; one that ignores it is closed, so that it holds up neither the next test nor the loop's end."""
    for task in tasks:
        task.cancel()
    _, stubborn = await asyncio.wait(tasks, timeout=GRACE) if tasks else (None, ())
    for task in stubborn:
        with suppress(RuntimeError):
            task.get_coro().close()
        task.cancel()
    await asyncio.gather(*stubborn, return_exceptions=True)
