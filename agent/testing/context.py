"""The context that the host lends to a component, for tests without a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.clock import SystemClock
from agent.component import Context
from agent.metrics import Metrics
from agent.names import SERVICE_NAME
from agent.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent.clock import Clock


async def no_positions() -> Mapping[str, bytes]:
    """The positions of a source that has never run."""
    return {}


def make_context(
    name: str = "test", *, clock: Clock | None = None, positions: Callable[[], Awaitable[Mapping[str, bytes]]] = no_positions
) -> Context:
    """A context with instruments of its own; real time unless a clock is given."""
    clock = clock or SystemClock()
    resource = {SERVICE_NAME: "test"}
    metrics = Metrics(resource, clock)
    return Context(name, clock, metrics, Telemetry(metrics, clock), resource, positions)
