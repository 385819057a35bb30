"""The identity of the workload: the configured service, completed by detected attributes (`resource.py`)."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from agent import resource
from agent.component import Targeted
from agent.errors import SpoolError
from agent.names import SERVICE_INSTANCE_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.config.settings import Settings
    from agent.spool.spool import Spool

OWNER: Final = "outrider.resource"
"""The source name under which the spool keeps the id."""
INSTANCE: Final = SERVICE_INSTANCE_ID
ANSWER: Final = 1.0
"""Seconds that the store has to give the id: a command does not wait longer for it."""


class Instance(NamedTuple):
    """The identity of this replica."""

    id: str
    """`service.instance.id`: a random UUID (semantic conventions, "Service")."""
    since_ns: int
    """When it was stored, nanoseconds since the Unix epoch: since then the ledger counts."""


async def instance(spool: Spool, now_ns: int) -> Instance:
    """The id that the state directory keeps: no two agents share one, so no two replicas have one id. It is new if the store does not answer."""
    fresh = Instance(str(uuid.uuid4()), now_ns)
    try:
        async with asyncio.timeout(ANSWER):
            if stored := (await spool.positions(OWNER)).get(INSTANCE):
                number, since_ns = stored.decode().split()
                return Instance(number, int(since_ns))
            await spool.append(OWNER, [], {INSTANCE: f"{fresh.id} {fresh.since_ns}".encode()}, {}, replayable=False)
    except (TimeoutError, SpoolError):
        pass  # the spool reports its own failure
    return fresh


def identified(settings: Settings, command: Sequence[str], instance_id: str) -> Settings:
    """The settings with the whole resource; configured attributes stay."""
    name = resource.service_name(watched(settings), command)
    detected = {INSTANCE: instance_id, **resource.environment(os.environ)}
    return settings.model_copy(update={"service": settings.service.completed(name, detected)})


def watched(settings: Settings) -> str:
    """The target whose processes are measured; "" without one."""
    return next((entry.options.target for entry in settings.samplers if isinstance(entry.options, Targeted)), "")
