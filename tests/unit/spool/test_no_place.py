"""The spool's directory is gone and cannot be made again."""

from __future__ import annotations

import asyncio

from agent.record import Payload, Signal
from agent.spool.spool import Spool
from agent.spool.values import StateChanged


async def test_the_open_file_takes_everything_while_there_is_no_place_for_another(tmp_path):
    """With a file in the directory's place the store reports it and continues; when the directory is back nothing is missing."""
    changed, state = asyncio.Event(), tmp_path / "state"
    spool = await Spool.open(state, on_event=lambda event: changed.set() if isinstance(event, StateChanged) else None)
    state.rename(tmp_path / "away")
    state.touch()
    async with asyncio.timeout(10):
        await changed.wait()
        degraded = await spool.stat()
        await spool.append("test", [Payload(Signal.LOGS, 1, b"x")], {}, {}, replayable=False)
    state.unlink()
    (tmp_path / "away").rename(state)
    await spool.close()

    again = await Spool.open(state)
    found = await again.stat()
    await again.close()
    assert degraded.state == "degraded"
    assert "state" in degraded.reason
    assert found.rows == 1
