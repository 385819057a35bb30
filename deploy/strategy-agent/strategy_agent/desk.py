"""The order desk: an order's life, from submission to its fill, is one task; and the account that fills go to.

Every way in which an order can end is counted.

submitted ──ack──▶ working ──fill──▶ done
    │                 └──no fill in time, recalled──▶ withdrawn ──▶ rejected, or done if it was filled before
    ├──no certain answer──▶ withdrawn
    └──refused──▶ rejected

An order that may still be filled is in flight, and counts in what may be traded: only the broker's word ends it.
"""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

from msgspec import structs
from opentelemetry.trace import Span, Status, StatusCode, use_span
from structlog.stdlib import BoundLogger, get_logger

from strategy_agent.aio import Tasks, backoff
from strategy_agent.brokers.client import Broker, BrokerError, BrokerRegistry
from strategy_agent.model import AccountData, Fill, Order, Side
from strategy_agent.outlets import Outlets
from strategy_agent.sizing import Holding

FILL_DEADLINE = 30.0
"""Seconds from submission to the fill, after which an order is withdrawn."""

log = get_logger(__name__)


class Account:
    """Books fills and marks positions to the market; ``standing`` is the account as of the last mark."""

    def __init__(self, cash: float = 100_000.0) -> None:
        self.standing = AccountData(cash, cash)
        self._cash = cash
        self.positions: defaultdict[str, float] = defaultdict(float)
        self._marks: dict[str, float] = {}

    def book(self, fill: Fill) -> None:
        """Move quantity and money as the fill says."""
        signed = fill.side.sign * fill.quantity
        self.positions[fill.symbol] = round(self.positions[fill.symbol] + signed, 9)
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
        return self._cash + sum(self.worth(symbol, held) for symbol, held in self.positions.items())

    def position(self, symbol: str) -> float:
        """Return the signed quantity held."""
        return self.positions.get(symbol, 0.0)

    def worth(self, symbol: str, quantity: float) -> float:
        """Return the value of a quantity at the last mark."""
        return quantity * self._marks.get(symbol, 0.0)

    def forget_peak(self) -> None:
        """Measure drawdown from now on: a person has taken the loss as it is, and the kill switch back."""
        log.warning("kill_switch_off")
        self.standing = AccountData(self.equity, self.equity)

    def exposure(self, symbol: str) -> float:
        """Return the size of the position as a fraction of the equity; 1 when there is no equity left."""
        return abs(self.worth(symbol, self.position(symbol))) / self.equity if self.equity > 0 else 1.0


@dataclass(slots=True)
class Working:
    """An order under way, with a log that says which one."""

    order: Order
    broker: Broker
    span: Span
    log: BoundLogger
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the fill, or when the order is recalled."""
    recalled: str = ""
    """Why the order is to be withdrawn; empty while it is not."""


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

    def holding(self, symbol: str) -> Holding:
        """Return what is held of a symbol and what is on its way."""
        orders = [working.order for working in self._working.values() if working.order.symbol == symbol]
        buying, selling = (sum(one.quantity for one in orders if one.side is side) for side in (Side.BUY, Side.SELL))
        return Holding(self.account.position(symbol), buying, selling)

    @property
    def gross(self) -> float:
        """The value of all positions and orders in flight, in their worst case."""
        symbols = {*self.account.positions, *(working.order.symbol for working in self._working.values())}
        return sum(self.account.worth(symbol, self.holding(symbol).worst) for symbol in symbols)

    def recall(self, reason: str, symbol: str | None = None) -> None:
        """Withdraw all orders in flight, or those of one symbol."""
        for working in self._working.values():
            if symbol in (None, working.order.symbol) and not working.recalled:
                working.recalled = reason
                working.done.set()

    def submit(self, order: Order) -> None:
        """Start an order's life at the broker that does best."""
        broker, named = self.registry.select(), structs.asdict(order)
        attributes = {"broker.name": broker.name} | {f"order.{name}": value for name, value in named.items()}
        span = self.out.tracer.start_span("order", attributes=attributes)
        working = Working(order, broker, span, log.bind(broker=broker.name, **named))
        self._working[order.client_order_id] = working
        self.out.metrics.orders.labels(broker.name, order.side.value).inc()
        self._tasks.spawn(self._live(working), name=f"order {order.client_order_id}")

    async def on_fill(self, broker: str, fill: Fill) -> None:
        """Book a fill. Also one of an order that is no longer followed: the money has moved all the same."""
        self.account.book(fill)
        self.out.metrics.fills.labels(broker, fill.side.value).inc()
        self.out.events.publish("fill", **structs.asdict(fill))
        working = self._working.pop(fill.client_order_id, None)
        if working is None:
            log.warning("fill_of_unknown_order", broker=broker, client_order_id=fill.client_order_id)
            return
        with use_span(working.span):
            working.log.info("order_filled", price=round(fill.price, 4))
        working.done.set()

    async def close(self) -> None:
        """Withdraw the orders in flight, so that none is filled unseen; a broker has a second to confirm."""
        self.recall("shutdown")
        await self._tasks.cancel(grace=1.0)

    async def _live(self, working: Working) -> None:
        with use_span(working.span, end_on_exit=True):
            try:
                await self._withdraw(working, await self._outcome(working))
            except asyncio.CancelledError:
                self._reject(working, "shutdown")
                raise

    async def _outcome(self, working: Working) -> str:
        """Bring an order to its fill or a refusal; else return why it must be withdrawn."""
        try:
            async with asyncio.timeout(FILL_DEADLINE):
                await self._place(working)
        except BrokerError as error:
            working.broker.report(ok=False)
            if not error.certain:
                return error.reason
            self._reject(working, error.reason)
        except TimeoutError:
            return "fill_timeout"
        return working.recalled

    async def _withdraw(self, working: Working, reason: str) -> None:
        """Cancel an order that is in flight, until the broker says that it is, or that it was filled."""
        attempt = 0
        while reason and working.order.client_order_id in self._working:
            try:
                if await working.broker.cancel(working.order.client_order_id):
                    self._reject(working, reason)
            except BrokerError:
                attempt += 1
                await asyncio.sleep(backoff(attempt))
            else:
                return  # unless it is cancelled it was filled, and its fill is on the way

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
            if not working.recalled:
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
