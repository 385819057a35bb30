from __future__ import annotations

import asyncio
import os

import pytest
import trustme


def open_sockets() -> set[str]:
    """The sockets this process holds."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def _others() -> set[asyncio.Task]:
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.fixture
async def no_leaks():
    """Fails the test if it leaves a socket or a task behind."""
    before, tasks = open_sockets(), _others()
    yield
    for _ in range(50):
        if open_sockets() <= before and _others() <= tasks:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"left behind: {open_sockets() - before} {_others() - tasks}")


@pytest.fixture(scope="session")
def authority():
    """A certificate authority of our own."""
    return trustme.CA()
