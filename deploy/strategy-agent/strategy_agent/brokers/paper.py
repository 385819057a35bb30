"""A paper broker: a real HTTP and WebSocket server on loopback, without a real market behind it.

    GET  /v1/time             {"now": seconds}
    GET  /v1/book/{symbol}    the order book; 404 for a symbol without a trade yet
    POST /v1/orders           201 and the acknowledgement; 400, 422 or 429 and {"reason"}
    DELETE /v1/orders/{id}    200 when the order was cancelled, also before it came; 422 "filled" when it is too late
    GET  /v1/stream/{topic}   WebSocket, topic ``ticks`` or ``fills``; ``?after=N`` resumes behind frame N

A frame is ``{"seq": N, "data": {…}}``; ``{"seq": N, "data": null}`` says that frames up to N are gone for good. Who
misses one connects again and resumes: what was printed before a connection stood is always sent on it.
"""

import asyncio
import re
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from aiohttp import web
from msgspec import Struct

from strategy_agent.aio import Tasks, listen, port_of
from strategy_agent.brokers import behaviour as rules
from strategy_agent.brokers.behaviour import CALM, Behaviour, RejectReason
from strategy_agent.model import Ack, Clock, Fill, Frame, Order, Refusal, Tick, WireError, decode, encode

T = TypeVar("T")

STATUS = {RejectReason.RATE_LIMITED: 429, RejectReason.MALFORMED: 400}
POSITION = re.compile("[0-9]{1,18}")


class Tape(Generic[T]):
    """A log that any number of subscribers read at their own pace: the last ``keep`` items, numbered from 1.

    A subscriber is nothing but a number, its position. There is no queue per subscriber, so a slow one costs no
    memory and a returning one resumes where it was, as long as the tape still holds it.
    """

    def __init__(self, keep: int = 4096) -> None:
        self._items: deque[T] = deque(maxlen=keep)
        self._changed = asyncio.Event()
        self.last = 0

    @property
    def first(self) -> int:
        """The number of the oldest item still held; ``last + 1`` when there is none."""
        return self.last - len(self._items) + 1

    def append(self, item: T) -> int:
        """Add an item, wake those who wait, and return its number."""
        self._items.append(item)
        self.last += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return self.last

    def __getitem__(self, seq: int) -> T:
        if not self.first <= seq <= self.last:
            raise IndexError(f"item {seq} is not on the tape ({self.first}…{self.last})")
        return self._items[seq - self.first]

    async def reached(self, seq: int) -> None:
        """Return as soon as the tape holds, or held, item ``seq``."""
        while self.last < seq:
            await self._changed.wait()


@dataclass(slots=True)
class Market:
    """What all venues trade: one tape of ticks, and the last trade per symbol."""

    tape: Tape[Tick] = field(default_factory=Tape)
    last: dict[str, tuple[int, Tick]] = field(default_factory=dict)

    def publish(self, tick: Tick) -> int:
        """Print a trade and return its number."""
        seq = self.tape.append(tick)
        self.last[tick.symbol] = (seq, tick)
        return seq


class PaperBroker:
    """One venue. ``async with`` starts and stops it; :meth:`outage` takes it away for a while.

        stopped ──start──▶ up ──outage──▶ down ──time passes──▶ up ──stop──▶ stopped

    While it is down connections are cut and new ones refused by the kernel, on the same port. Orders taken on
    before are still filled; their fills wait on the tape.
    """

    def __init__(self, name: str, market: Market, *, seed: int = 0, behaviour: Behaviour = CALM) -> None:
        self.name = name
        self.port = 0
        self._dice = f"{seed}:{name}"
        self._fate = str(seed)
        """The same at every venue: where an order goes depends on timing, what becomes of it must not."""
        self._market = market
        self._behaviour = behaviour
        self._fills: Tape[Fill] = Tape()
        self._accepted = 0
        self._runner: web.AppRunner | None = None
        self._connections: set[asyncio.Transport] = set()
        self._filling = Tasks()
        self._ended: dict[str, RejectReason] = {}
        """Orders that are cancelled, also before they came, or filled."""

    @property
    def url(self) -> str:
        """Where the venue listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def up(self) -> bool:
        """Whether the venue takes connections."""
        return self._runner is not None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._filling.cancel()

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        routes = [
            web.get("/v1/time", self._time),
            web.get("/v1/book/{symbol}", self._book),
            web.post("/v1/orders", self._order),
            web.delete("/v1/orders/{id}", self._cancel),
            web.get("/v1/stream/{topic}", self._stream),
        ]
        self._runner = await listen(routes, "127.0.0.1", self.port, patience=0.1)
        self.port = port_of(self._runner)

    async def stop(self) -> None:
        """Stop listening and cut what is connected."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self.cut_connections()
            await runner.cleanup()

    async def outage(self, seconds: float) -> None:
        """Be gone for ``seconds``, then come back; later if something else has the port meanwhile."""
        await self.stop()
        await asyncio.sleep(seconds)
        while not self.up:
            try:
                await self.start()
            except OSError:
                await asyncio.sleep(0.1)

    def cut_connections(self) -> int:
        """Drop every WebSocket without a closing handshake and return how many there were."""
        for transport in self._connections:
            transport.abort()
        return len(self._connections)

    async def _time(self, _: web.Request) -> web.Response:
        return _answer(Clock(time.time() + self._behaviour.clock_skew))

    async def _book(self, request: web.Request) -> web.Response:
        known = self._market.last.get(request.match_info["symbol"])
        if known is None:
            return _refuse(RejectReason.UNKNOWN_SYMBOL, status=404)
        seq, tick = known
        return _answer(rules.make_book(self._dice, tick.symbol, tick.price, seq, time.time()))

    async def _order(self, request: web.Request) -> web.Response:
        try:
            order = decode(await request.read(), Order)
        except WireError as error:
            return _refuse(RejectReason.MALFORMED, detail=str(error))
        _, last = self._market.last.get(order.symbol, (0, None))
        reason = rules.refusal(self._behaviour, self._fate, order, last.price if last else None)
        await asyncio.sleep(rules.ack_latency(self._behaviour, self._fate, order.client_order_id))
        if reason := self._ended.get(order.client_order_id, reason):
            return _refuse(reason)
        self._accepted += 1
        self._filling.spawn(self._fill(order), name=f"fill {order.client_order_id}")
        return _answer(Ack(order.client_order_id, f"{self.name}-{self._accepted}"), status=201)

    async def _cancel(self, request: web.Request) -> web.Response:
        client_order_id = request.match_info["id"]
        if self._ended.setdefault(client_order_id, RejectReason.CANCELLED) is RejectReason.FILLED:
            return _refuse(RejectReason.FILLED)
        return _answer(Ack(client_order_id, ""))

    async def _fill(self, order: Order) -> None:
        seq, tick = self._market.last[order.symbol]
        book = rules.make_book(self._dice, order.symbol, tick.price, seq, time.time())
        await asyncio.sleep(rules.fill_latency(self._behaviour, self._fate, order.client_order_id))
        if self._ended.setdefault(order.client_order_id, RejectReason.FILLED) is RejectReason.FILLED:
            self._fills.append(rules.make_fill(order, book))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        topic, after = request.match_info["topic"], request.query.get("after", "0")
        if topic not in ("ticks", "fills") or not POSITION.fullmatch(after):
            return _refuse(RejectReason.MALFORMED, detail=f"no such stream: {topic!r} after {after!r}")
        socket = web.WebSocketResponse(heartbeat=10.0)
        await socket.prepare(request)
        if (transport := request.transport) is None:
            return socket  # the client has gone already
        self._connections.add(transport)
        async with Tasks() as tasks:
            tasks.spawn(self._pump(socket, transport, topic, int(after)), name=f"pump {topic}")
            async for _ in socket:
                pass  # nothing that a subscriber says is of interest, only its end
        self._connections.discard(transport)
        return socket

    async def _pump(self, socket: web.WebSocketResponse, transport: asyncio.Transport, topic: str, after: int) -> None:
        tape = self._market.tape if topic == "ticks" else self._fills
        live = tape.last  # up to here nothing is withheld: a resume succeeds
        after = after if after <= live else 0  # of another life of this venue: its first number tells the client
        with suppress(ConnectionResetError):
            while True:
                await tape.reached(after + 1)
                if after + 1 < tape.first:
                    after = tape.first - 1
                    await socket.send_str(encode(Frame[Tick](after)))
                after += 1
                if after > live and rules.cuts_connection(self._behaviour, self._dice, topic, after):
                    transport.abort()
                    return
                if after <= live or not rules.drops_frame(self._behaviour, self._dice, topic, after):
                    await socket.send_str(encode(Frame(after, tape[after])))


def _answer(value: Struct, *, status: int = 200) -> web.Response:
    return web.Response(text=encode(value), status=status, content_type="application/json")


def _refuse(reason: RejectReason, *, status: int | None = None, detail: str = "") -> web.Response:
    return _answer(Refusal(reason.value, detail), status=status or STATUS.get(reason, 422))
