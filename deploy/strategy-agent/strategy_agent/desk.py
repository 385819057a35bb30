"""The order desk: an order's life, from submission to its fill, is one task; and the account that fills go to.

Every way in which an order can end is counted.

submitted ──ack──▶ working ──fill──▶ done
    │                 └──no fill in time──▶ rejected
    └──refused, unreachable──▶ rejected
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

from msgspec import structs
from opentelemetry.trace import Span, Status, StatusCode, use_span
from structlog.stdlib import BoundLogger, get_logger

from strategy_agent.aio import Tasks
from strategy_agent.brokers.client import Broker, BrokerError, BrokerRegistry
from strategy_agent.model import AccountData, Fill, Order
from strategy_agent.outlets import Outlets

FILL_DEADLINE = 30.0
"""Seconds from submission to the fill, after which an order is given up."""

log = get_logger(__name__)


class Account:
    """Books fills and marks positions to the market; ``standing`` is the account as of the last mark."""

    def __init__(self, cash: float = 100_000.0) -> None:
        self.standing = AccountData(cash, cash)
        self._cash = cash
        self._positions: defaultdict[str, float] = defaultdict(float)
        self._marks: dict[str, float] = {}

    def book(self, fill: Fill) -> None:
        """Move quantity and money as the fill says."""
        signed = fill.side.sign * fill.quantity
        self._positions[fill.symbol] += signed
        self._cash -= signed * fill.price
        self._marks.setdefault(fill.symbol, fill.price)

    def mark(self, symbol: str, price: float) -> AccountData:
        """Value the symbol's position at ``price`` and return the account as it stands then."""
        self._marks[symbol] = price
        self.standing = AccountData(self.equity, max(self.standing.peak_equity, self.equity))
        return self.standing

    @property
    def equity(self) -> float:
        """Cash and the value of all positions."""
        return self._cash + sum(self.notional(symbol) for symbol in self._positions)

    def position(self, symbol: str) -> float:
        """Return the signed quantity held."""
        return self._positions.get(symbol, 0.0)

    def notional(self, symbol: str) -> float:
        """Return the signed value of the position at the last mark."""
        return self.position(symbol) * self._marks.get(symbol, 0.0)

    def exposure(self, symbol: str) -> float:
        """Return the size of the position as a fraction of the equity; 1 when there is no equity left."""
        return abs(self.notional(symbol)) / self.equity if self.equity > 0 else 1.0


@dataclass(slots=True)
class Working:
    """An order under way, with a log that says which one."""

    order: Order
    broker: Broker
    span: Span
    log: BoundLogger
    done: asyncio.Event = field(default_factory=asyncio.Event)


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
        broker, named = self.registry.select(), structs.asdict(order)
        attributes = {"broker.name": broker.name} | {f"order.{name}": value for name, value in named.items()}
        span = self.out.tracer.start_span("order", attributes=attributes)
        working = Working(order, broker, span, log.bind(broker=broker.name, **named))
        self._working[order.client_order_id] = working
        self._tasks.spawn(self._live(working), name=f"order {order.client_order_id}")

    async def on_fill(self, broker: str, fill: Fill) -> None:
        """Book a fill. Also one of an order that is no longer followed: the money has moved all the same."""
        self.account.book(fill)
        self.out.events.publish("fill", **structs.asdict(fill))
        working = self._working.pop(fill.client_order_id, None)
        if working is None:
            log.warning("fill_of_unknown_order", broker=broker, client_order_id=fill.client_order_id)
            return
        with use_span(working.span):
            working.log.info("order_filled", price=round(fill.price, 4))
        working.done.set()

    async def close(self) -> None:
        """Abandon the orders under way."""
        await asyncio.sleep(0)  # a task that is cancelled before it began could not account for its order
        await self._tasks.cancel()

    async def _live(self, working: Working) -> None:
        with use_span(working.span, end_on_exit=True):
            try:
                async with asyncio.timeout(FILL_DEADLINE):
                    await self._place(working)
            except BrokerError as error:
                working.broker.report(ok=False)
                self._reject(working, error.reason)
            except TimeoutError:
                self._reject(working, "fill_timeout")
            except asyncio.CancelledError:
                self._reject(working, "shutdown")
                raise

    async def _place(self, working: Working) -> None:
        working.log.info("order_submitted")
        submitted = time.monotonic()
        with self.out.tracer.start_as_current_span("order.submit"):
            ack = await working.broker.submit(working.order)
        acked = time.monotonic()
        working.broker.report(ok=True)
        self.out.metrics.submit_to_ack.observe(acked - submitted)
        working.log.info("order_acknowledged", order_id=ack.order_id)
        self.out.events.publish("order", **structs.asdict(ack), state="acknowledged")
        # The fill may have overtaken the acknowledgement: they travel on two connections.
        if not working.done.is_set():
            with self.out.tracer.start_as_current_span("order.fill"):
                await working.done.wait()
            self.out.metrics.ack_to_fill.observe(time.monotonic() - acked)

    def _reject(self, working: Working, reason: str) -> None:
        # A fill may have finished the order although the answer to its submission was lost.
        client_order_id = working.order.client_order_id
        if self._working.pop(client_order_id, None) is None:
            return
        self.out.metrics.rejects.labels(working.broker.name, reason).inc()
        self.out.events.publish("order", client_order_id=client_order_id, state="rejected", reason=reason)
        working.log.warning("order_rejected", reason=reason)
        working.span.set_status(Status(StatusCode.ERROR, reason))
