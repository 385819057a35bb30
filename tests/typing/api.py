"""Code of a user, who writes a source and an exporter of their own: it must type-check under `mypy --strict`. Never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from agent.component import Accepted, ComponentConfig, Context, Exporter, Probe, ProbeResult, Sampler, Source
from agent.errors import PausedError, RejectedError, RetryableError, TooLargeError
from agent.metrics import Kind, Metric, Observation
from agent.options import Duration, HttpUrl, Secret, Size  # noqa: TC001 - pydantic reads them
from agent.record import Batch, LogRecord, Origin, Row, Severity, Signal, Value
from agent.testing.clock import FakeClock
from agent.testing.conformance import ExporterCase, SourceCase
from agent.testing.context import make_context
from agent.testing.exporters import RecordingExporter, make_row
from agent.testing.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

SEEN = Metric("shop.orders.seen", Kind.COUNTER, "{order}", "Orders that went by.")


class OrdersConfig(ComponentConfig):
    """Options."""

    url: HttpUrl
    """Where the orders are."""
    token: Secret | None = None
    """For the Authorization header."""
    wait: Duration = 5.0
    """How long to wait."""
    limit: Size = 1 << 20
    """Bytes."""


class Orders:
    """A source."""

    Config: ClassVar[type[ComponentConfig]] = OrdersConfig
    replayable: ClassVar[bool] = True

    def __init__(self, config: OrdersConfig, context: Context) -> None:
        self._config, self._context = config, context

    async def run(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        positions = await self._context.positions()
        number = int(positions.get("number", b"0"))
        secret: str = self._config.token.get_secret_value() if self._config.token else ""
        now = self._context.clock.wall_ns()
        attributes: dict[str, Value] = {"order.id": number, "order.lines": ["a", 1, {"b": None}], "length": len(secret)}
        record = LogRecord(now, now, Severity.INFO, "info", "order", attributes, Origin(self._config.url), number)
        self._context.metrics.add(SEEN, 1, {"shop": "a"})
        await self._context.clock.sleep(self._config.wait)
        await emit(Batch(records=[record], positions={"number": b"%d" % (number + 1)}, drops={"oversized": 1}))

    async def close(self) -> None: ...


class Printer:
    """An exporter."""

    Config: ClassVar[type[ComponentConfig]] = ComponentConfig
    signals: frozenset[Signal] = frozenset({Signal.LOGS, Signal.METRICS})

    def __init__(self, config: ComponentConfig, context: Context) -> None:
        self._config, self._context = config, context

    async def export(self, row: Row) -> Accepted:
        match row.records:
            case 0:
                raise RejectedError("nothing in it")
            case 1:
                raise RetryableError("not now", after=2.5)
            case 2:
                raise PausedError("not us")
            case 3:
                raise TooLargeError("too much")
        return Accepted(rejected=1, message=f"{row.signal}: {len(row.body)} of {row.raw_size} bytes")

    async def close(self) -> None: ...


class Load:
    """A sampler."""

    def sample(self) -> Sequence[Observation]:
        return [Observation(SEEN, 1.5, {"shop": "a"}), Observation(SEEN, 2)]

    async def close(self) -> None: ...


class Door:
    """A probe."""

    target: str = "door"

    async def probe(self) -> ProbeResult:
        return ProbeResult(success=False, reason="closed", observations=[Observation(SEEN, 0)])

    async def close(self) -> None: ...


def everything() -> tuple[Source, Sampler, Probe, Exporter, Exporter]:
    """Each class is of its kind."""
    context = make_context("orders", clock=FakeClock())
    return (
        Orders(OrdersConfig(url="http://shop"), context),
        Load(),
        Door(),
        Printer(ComponentConfig(), context),
        RecordingExporter(plan=[None]),
    )


def cases() -> tuple[SourceCase, ExporterCase]:
    """The suite takes them."""
    return (
        SourceCase(lambda context: Orders(OrdersConfig(url="http://shop"), context), feed=lambda: None, expected=["order"]),
        ExporterCase(lambda context: Printer(ComponentConfig(), context), make_row(b"", records=5)),
    )


async def collect() -> list[LogRecord]:
    """The sink is a next stage."""
    sink = Sink()
    await Orders(OrdersConfig(url="http://shop"), make_context(positions=sink.positions)).run(sink.emit)
    return sink.records
