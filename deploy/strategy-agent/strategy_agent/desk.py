"""The order desk: carries an order from submission to its last fill, and accounts for every way it can end.

submitted ──ack──▶ working ──last fill──▶ done
    │                 └──no fill in time──▶ expired
    └──refused, unreachable──▶ rejected
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context, use_span

from strategy_agent.account import Account
from strategy_agent.brokers.behaviour import RejectReason
from strategy_agent.brokers.client import BrokerClient, BrokerError
from strategy_agent.brokers.registry import BrokerRecord, BrokerRegistry
from strategy_agent.events import EventSink
from strategy_agent.logs import get_logger
from strategy_agent.metrics import Metrics
from strategy_agent.model import Ack, Fill, Order

ATTEMPTS = 3
RETRY_PAUSE = 0.1
RETRIED = frozenset({RejectReason.RATE_LIMITED.value, "timeout"})
FILL_DEADLINE = 30.0

log = get_logger(__name__)


@dataclass(slots=True)
class Working:
    """An order under way. Instants are monotonic."""

    order: Order
    broker: str
    span: Span
    submitted: float
    acked: float | None = None
    fill_span: Span | None = None
    filled: float = field(default=0.0)


class OrderDesk:
    """Submits orders without making the caller wait; :meth:`on_fill` is fed by the brokers' streams."""

    def __init__(
        self,
        registry: BrokerRegistry[BrokerClient],
        account: Account,
        metrics: Metrics,
        events: EventSink,
        tracer: Tracer,
    ) -> None:
        self._registry = registry
        self._account = account
        self._metrics = metrics
        self._events = events
        self._tracer = tracer
        self._working: dict[str, Working] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """How many orders are neither done nor rejected."""
        return len(self._working)

    def submit(self, order: Order) -> None:
        """Start an order's life at the broker that does best."""
        broker = self._registry.select()
        span = self._tracer.start_span("order", attributes=_attributes(order, broker.name))
        working = Working(order, broker.name, span, time.monotonic())
        self._working[order.client_order_id] = working
        self._metrics.orders.labels(self._metrics.symbol(order.symbol), order.side.value).inc()
        task = asyncio.create_task(self._place(working, broker), name=f"order {order.client_order_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def on_fill(self, broker: str, fill: Fill) -> None:
        """Book a fill. Also one of an order that is no longer followed: the money has moved all the same."""
        self._account.book(fill)
        self._metrics.fills.labels(self._metrics.symbol(fill.symbol)).inc()
        self._publish("fill", fill.client_order_id, symbol=fill.symbol, price=fill.price, quantity=fill.quantity)
        working = self._working.get(fill.client_order_id)
        if working is None:
            log.warning("fill_of_unknown_order", broker=broker, client_order_id=fill.client_order_id)
            return
        working.filled += fill.quantity
        with use_span(working.span):
            event = "order_filled" if fill.last else "order_partially_filled"
            log.info(event, **_fields(working), price=round(fill.price, 4), filled=round(working.filled, 6))
        if fill.last:
            self._finish(working)

    def expire(self, now: float) -> None:
        """Give up on orders without a fill since ``FILL_DEADLINE`` seconds before ``now`` (monotonic)."""
        for working in list(self._working.values()):
            if now - working.submitted > FILL_DEADLINE:
                self._reject(working, "fill_timeout")

    async def close(self) -> None:
        """Abandon what is being submitted and end all spans."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for working in list(self._working.values()):
            self._reject(working, "shutdown")

    async def _place(self, working: Working, broker: BrokerRecord[BrokerClient]) -> None:
        with use_span(working.span):
            log.info("order_submitted", **_fields(working))
            try:
                with self._tracer.start_as_current_span("order.submit"):
                    ack = await self._submit(working, broker)
            except BrokerError as error:
                self._registry.report(broker.name, ok=False)
                self._reject(working, error.reason)
                return
            self._registry.report(broker.name, ok=True)
            self._acknowledge(working, ack)

    async def _submit(self, working: Working, broker: BrokerRecord[BrokerClient]) -> Ack:
        for attempt in range(1, ATTEMPTS):
            try:
                return await broker.handle.submit(working.order)
            except BrokerError as error:
                if error.reason not in RETRIED:
                    raise
                self._metrics.retries.labels(broker.name, error.reason).inc()
                await asyncio.sleep(RETRY_PAUSE * attempt)
        return await broker.handle.submit(working.order)

    def _acknowledge(self, working: Working, ack: Ack) -> None:
        working.acked = time.monotonic()
        self._metrics.submit_to_ack.observe(working.acked - working.submitted)
        log.info("order_acknowledged", **_fields(working), order_id=ack.order_id)
        self._publish("order", ack.client_order_id, state="acknowledged", order_id=ack.order_id)
        # The fill may have overtaken the acknowledgement: they travel on two connections.
        if ack.client_order_id in self._working:
            working.fill_span = self._tracer.start_span("order.fill", set_span_in_context(working.span))

    def _finish(self, working: Working) -> None:
        del self._working[working.order.client_order_id]
        if working.acked is not None:
            self._metrics.ack_to_fill.observe(time.monotonic() - working.acked)
        if working.fill_span is not None:
            working.fill_span.end()
        working.span.end()

    def _reject(self, working: Working, reason: str) -> None:
        # A fill may have finished the order although the answer to its submission was lost.
        if self._working.pop(working.order.client_order_id, None) is None:
            return
        self._metrics.rejects.labels(working.broker, reason).inc()
        self._publish("order", working.order.client_order_id, state="rejected", reason=reason)
        with use_span(working.span):
            log.warning("order_rejected", **_fields(working), reason=reason)
        for span in (working.fill_span, working.span):
            if span is not None:
                span.set_status(Status(StatusCode.ERROR, reason))
                span.end()

    def _publish(self, kind: str, client_order_id: str, **fields: str | float) -> None:
        self._events.publish(kind, client_order_id=client_order_id, **fields)


def _attributes(order: Order, broker: str) -> dict[str, str | float]:
    return {
        "order.client_order_id": order.client_order_id,
        "order.symbol": order.symbol,
        "order.side": order.side.value,
        "order.quantity": order.quantity,
        "broker.name": broker,
    }


def _fields(working: Working) -> dict[str, str | float]:
    order = working.order
    return {
        "client_order_id": order.client_order_id,
        "broker": working.broker,
        "symbol": order.symbol,
        "side": order.side.value,
        "quantity": order.quantity,
    }
