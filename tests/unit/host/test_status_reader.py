"""Status while the store is stuck."""

from __future__ import annotations

import asyncio

import pytest

from agent.config.settings import Settings
from agent.errors import SpoolError
from agent.host.pipeline import Host, Pipeline
from agent.host.status_reader import StatusReader
from agent.spool import spool as module
from agent.spool.spool import Spool
from agent.testing.context import make_context


async def hang(*_args, **_options):
    """A job of a store that no longer answers."""
    await asyncio.Event().wait()


async def test_a_store_that_is_stuck_is_shown_with_its_last_figures(tmp_path, monkeypatch):
    """The page is there in bounded time, and is not ready; before the first answer there is nothing to show."""
    context, spool = make_context(), await Spool.open(tmp_path / "state")
    reader = StatusReader(Settings(), Host(context.clock, context.metrics, context.telemetry, spool), Pipeline(), [])
    well = await reader.read()
    monkeypatch.setattr(module, "ANSWER", 0.01)
    with monkeypatch.context() as stuck_thread:
        stuck_thread.setattr(spool._thread, "do", hang)
        stuck = await reader.read()
        spool._known.clear()
        with pytest.raises(SpoolError, match="does not answer"):
            await reader.read()
    await spool.close()

    assert (well.spool.state, stuck.spool.state, stuck.spool.quota) == ("ok", "degraded", well.spool.quota)
    assert "does not answer" in stuck.spool.reason
    assert stuck.verdict() != well.verdict()
