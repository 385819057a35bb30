"""Status while the store is stuck."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from agent.config.settings import Settings
from agent.errors import SpoolError
from agent.host import status_reader as module
from agent.host.pipeline import Host, Pipeline
from agent.host.status_reader import StatusReader
from agent.spool.spool import Spool
from agent.testing.context import make_context


class Stuck:
    """A store that no longer answers."""

    async def ledger(self):
        """Never."""
        await asyncio.Event().wait()


async def test_a_store_that_is_stuck_is_told_with_its_last_figures(tmp_path, monkeypatch):
    """The page is there in bounded time, and is not ready; before the first answer there is nothing to show."""
    monkeypatch.setattr(module, "ANSWER", 1.0)
    context, spool = make_context(), await Spool.open(tmp_path / "state")
    reader = StatusReader(Settings(), Host(context.clock, context.metrics, context.telemetry, spool), Pipeline(), [])
    well = await reader.read()
    await spool.close()
    monkeypatch.setattr(module, "ANSWER", 0.01)
    reader._host = SimpleNamespace(spool=Stuck(), clock=context.clock, telemetry=context.telemetry)
    stuck = await reader.read()
    reader._known = None

    assert (well.spool.state, stuck.spool.state, stuck.spool.quota) == ("ok", "degraded", well.spool.quota)
    assert "does not answer" in stuck.spool.reason
    assert stuck.verdict() != well.verdict()
    with pytest.raises(SpoolError, match="does not answer"):
        await reader.read()
