"""The order desk: carries an order from submission to its last fill, and accounts for every way it can end.

submitted ──ack──▶ working ──last fill──▶ done
    │                 └──no fill in time──▶ expired
    └──refused, unreachable──▶ rejected
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context, use_span

from strategy_agent.account import Account
from strategy_agent.aio import Tasks
from strategy_agent.brokers.behaviour import RejectReason
from strategy_agent.brokers.client import Broker, BrokerError, BrokerRegistry
from strategy_agent.events import Outlets
from strategy_agent.logs import Log, get_logger
from strategy_agent.model import Ack, Fill, Order

ATTEMPTS = 3
RETRY_PAUSE = 0.1
RETRIED = frozenset({RejectReason.RATE_LIMITED.value, "timeout"})
FILL_DEADLINE = 30.0

log = get_logger(__name__)


@dataclass(slots=True)
class Working:
    """An order under way, with a log that says which one. Instants are monotonic."""

    order: Order
    broker: Broker
    span: Span
    log: Log
    submitted: float
    acked: float | None = None
    fill_span: Span | None = None
    filled: float = 0.0


@dataclass(slots=True)
class OrderDesk:
    """Submits orders without making the caller wait; :meth:`on_fill` is fed by the brokers' streams."""

    registry: BrokerRegistry
    account: Account
    out: Outlets
    _working: dict[str, Working] = field(default_factory=dict)
    _tasks: Tasks = field(default_factory=Tasks)

    @property
    def in_flight(self) -> int:
        """How many orders are neither done nor rejected."""
        return len(self._working)

    def submit(self, order: Order) -> None:
        """Start an order's life at the broker that does best."""
        working = self._begin(order, self.registry.select())
        self._working[order.client_order_id] = working
        self.out.metrics.orders.labels(self.out.metrics.symbol(order.symbol), order.side.value).inc()
        self._tasks.spawn(self._place(working), name=f"order {order.client_order_id}")

    async def on_fill(self, broker: str, fill: Fill) -> None:
        """Book a fill. Also one of an order that is no longer followed: the money has moved all the same."""
        self.account.book(fill)
        self.out.metrics.fills.labels(self.out.metrics.symbol(fill.symbol)).inc()
        self._publish("fill", fill.client_order_id, symbol=fill.symbol, price=fill.price, quantity=fill.quantity)
        working = self._working.get(fill.client_order_id)
        if working is None:
            log.warning("fill_of_unknown_order", broker=broker, client_order_id=fill.client_order_id)
            return
        working.filled += fill.quantity
        with use_span(working.span):
            event = "order_filled" if fill.last else "order_partially_filled"
            working.log.info(event, price=round(fill.price, 4), filled=round(working.filled, 6))
        if fill.last:
            self._finish(working)

    def expire(self, now: float) -> None:
        """Give up on orders without a fill since ``FILL_DEADLINE`` seconds before ``now`` (monotonic)."""
        for working in list(self._working.values()):
            if now - working.submitted > FILL_DEADLINE:
                self._reject(working, "fill_timeout")

    async def close(self) -> None:
        """Abandon what is being submitted and end all spans."""
        await self._tasks.cancel()
        for working in list(self._working.values()):
            self._reject(working, "shutdown")

    def _begin(self, order: Order, broker: Broker) -> Working:
        names = {"client_order_id": order.client_order_id, "symbol": order.symbol, "side": order.side.value}
        attributes = {f"order.{key}": value for key, value in names.items()}
        span = self.out.tracer.start_span("order", attributes={**attributes, "broker.name": broker.name})
        span.set_attribute("order.quantity", order.quantity)
        named = log.bind(broker=broker.name, **names, quantity=order.quantity)
        return Working(order, broker, span, named, time.monotonic())

    async def _place(self, working: Working) -> None:
        with use_span(working.span):
            working.log.info("order_submitted")
            try:
                with self.out.tracer.start_as_current_span("order.submit"):
                    ack = await self._submit(working.order, working.broker)
            except BrokerError as error:
                working.broker.report(ok=False)
                self._reject(working, error.reason)
                return
            working.broker.report(ok=True)
            self._acknowledge(working, ack)

    async def _submit(self, order: Order, broker: Broker) -> Ack:
        for attempt in range(1, ATTEMPTS):
            try:
                return await broker.submit(order)
            except BrokerError as error:
                if error.reason not in RETRIED:
                    raise
                self.out.metrics.retries.labels(broker.name, error.reason).inc()
                await asyncio.sleep(RETRY_PAUSE * attempt)
        return await broker.submit(order)

    def _acknowledge(self, working: Working, ack: Ack) -> None:
        working.acked = time.monotonic()
        self.out.metrics.submit_to_ack.observe(working.acked - working.submitted)
        working.log.info("order_acknowledged", order_id=ack.order_id)
        self._publish("order", ack.client_order_id, state="acknowledged", order_id=ack.order_id)
        # The fill may have overtaken the acknowledgement: they travel on two connections.
        if ack.client_order_id in self._working:
            working.fill_span = self.out.tracer.start_span("order.fill", set_span_in_context(working.span))

    def _finish(self, working: Working) -> None:
        del self._working[working.order.client_order_id]
        if working.acked is not None:
            self.out.metrics.ack_to_fill.observe(time.monotonic() - working.acked)
        if working.fill_span is not None:
            working.fill_span.end()
        working.span.end()

    def _reject(self, working: Working, reason: str) -> None:
        # A fill may have finished the order although the answer to its submission was lost.
        if self._working.pop(working.order.client_order_id, None) is None:
            return
        self.out.metrics.rejects.labels(working.broker.name, reason).inc()
        self._publish("order", working.order.client_order_id, state="rejected", reason=reason)
        with use_span(working.span):
            working.log.warning("order_rejected", reason=reason)
        for span in (working.fill_span, working.span):
            if span is not None:
                span.set_status(Status(StatusCode.ERROR, reason))
                span.end()

    def _publish(self, kind: str, client_order_id: str, **fields: str | float) -> None:
        self.out.events.publish(kind, client_order_id=client_order_id, **fields)
