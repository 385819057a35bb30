"""A paper broker: a real HTTP and WebSocket server on loopback, without a real market behind it.

    GET  /v1/time             {"now": seconds}
    GET  /v1/book/{symbol}    the order book; 404 for a symbol without a trade yet
    POST /v1/orders           201 and the acknowledgement; 200 if the id is known; 400, 422 or 429 and {"reason"}
    GET  /v1/stream/{topic}   WebSocket, topic ``ticks`` or ``fills``; ``?after=N`` resumes behind frame N

A frame is ``{"seq": N, "data": {…}}``. A client that misses one sends ``{"op": "resume", "after": N}`` and gets
everything behind N again; ``{"op": "reset", "oldest": M}`` says that frames before M are gone for good.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar

from aiohttp import WSMsgType, web

from strategy_agent import wire
from strategy_agent.brokers import behaviour as rules
from strategy_agent.brokers.behaviour import CALM, Behaviour, RejectReason
from strategy_agent.brokers.tape import Tape
from strategy_agent.model import Ack, Fill, Order, Tick

T = TypeVar("T")

REMEMBERED_ORDERS = 10_000
STATUS = {RejectReason.RATE_LIMITED: 429, RejectReason.MALFORMED: 400}
UNPROCESSABLE = 422
PORT_RETRY = 0.1
POSITION = re.compile("[0-9]{1,18}")


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

    def price(self, symbol: str) -> float | None:
        """Return the last trade's price."""
        known = self.last.get(symbol)
        return known[1].price if known else None


@dataclass(slots=True, eq=False)
class _Subscriber:
    """One connection and its place on a tape. Below ``high`` nothing is withheld again: a resume succeeds."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    topic: str
    tape: Tape[Tick] | Tape[Fill]
    after: int
    high: int


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
        self._market = market
        self._behaviour = behaviour
        self._fills: Tape[Fill] = Tape()
        self._accepted = 0
        self._outages = 0
        self._acks: OrderedDict[str, Ack] = OrderedDict()
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._runner: web.AppRunner | None = None
        self._subscribers: set[_Subscriber] = set()
        self._filling: set[asyncio.Task[None]] = set()

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
        for task in self._filling:
            task.cancel()
        await asyncio.gather(*self._filling, return_exceptions=True)

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
        except OSError:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening and cut what is connected."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        self.cut_connections()
        await runner.cleanup()

    async def outage(self, seconds: float) -> None:
        """Be gone for ``seconds``, then come back; later if another outage lasts or something else has the port."""
        self._outages += 1
        await self.stop()
        await asyncio.sleep(seconds)
        self._outages -= 1
        while not (self.up or self._outages):
            try:
                await self.start()
            except OSError:
                await asyncio.sleep(PORT_RETRY)

    def cut_connections(self) -> int:
        """Drop every WebSocket without a closing handshake and return how many there were."""
        cut = list(self._subscribers)
        for subscriber in cut:
            subscriber.transport.abort()
        return len(cut)

    def _application(self) -> web.Application:
        application = web.Application()
        application.add_routes(
            [
                web.get("/v1/time", self._time),
                web.get("/v1/book/{symbol}", self._book),
                web.post("/v1/orders", self._order),
                web.get("/v1/stream/{topic}", self._stream),
            ]
        )
        return application

    async def _time(self, _: web.Request) -> web.Response:
        return web.json_response({"now": time.time() + self._behaviour.clock_skew})

    async def _book(self, request: web.Request) -> web.Response:
        known = self._market.last.get(request.match_info["symbol"])
        if known is None:
            return _refuse(RejectReason.UNKNOWN_SYMBOL, status=404)
        seq, tick = known
        book = rules.make_book(self._dice, tick.symbol, tick.price, seq, time.time())
        return web.json_response(wire.encode(book))

    async def _order(self, request: web.Request) -> web.Response:
        try:
            order = wire.decode_order(wire.parse(await request.read()))
        except wire.WireError as error:
            return _refuse(RejectReason.MALFORMED, detail=str(error))
        if known := self._acks.get(order.client_order_id):
            return web.json_response(wire.encode(known))
        attempt = self._count_attempt(order.client_order_id)
        price = self._market.price(order.symbol)
        verdict = rules.judge(self._behaviour, self._dice, order, price, attempt)
        await asyncio.sleep(verdict.latency)
        if known := self._acks.get(order.client_order_id):  # the same order again, while this one was waiting
            return web.json_response(wire.encode(known))
        if verdict.reason is not None:
            return _refuse(verdict.reason)
        return web.json_response(wire.encode(self._accept(order)), status=201)

    def _count_attempt(self, client_order_id: str) -> int:
        attempt = self._attempts.get(client_order_id, 0) + 1
        _remember(self._attempts, client_order_id, attempt)
        return attempt

    def _accept(self, order: Order) -> Ack:
        self._accepted += 1
        ack = Ack(order.client_order_id, f"{self.name}-{self._accepted}")
        _remember(self._acks, order.client_order_id, ack)
        task = asyncio.create_task(self._fill(order), name=f"fill {order.client_order_id}")
        self._filling.add(task)
        task.add_done_callback(self._filling.discard)
        return ack

    async def _fill(self, order: Order) -> None:
        seq, tick = self._market.last[order.symbol]
        book = rules.make_book(self._dice, order.symbol, tick.price, seq, time.time())
        for delay, fill in rules.plan_fills(self._behaviour, self._dice, order, book):
            await asyncio.sleep(delay)
            self._fills.append(fill)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        topic, after = request.match_info["topic"], request.query.get("after", "0")
        if topic not in ("ticks", "fills") or not POSITION.fullmatch(after):
            return _refuse(RejectReason.MALFORMED, detail=f"no such stream: {topic!r} after {after!r}")
        socket = web.WebSocketResponse(heartbeat=10.0)
        await socket.prepare(request)
        if request.transport is not None:  # else the client has gone already
            tape = self._market.tape if topic == "ticks" else self._fills
            start = min(int(after), tape.last)
            await self._attend(_Subscriber(socket, request.transport, topic, tape, start, high=tape.last))
        return socket

    async def _attend(self, subscriber: _Subscriber) -> None:
        self._subscribers.add(subscriber)
        pump = asyncio.create_task(self._pump(subscriber), name=f"pump {subscriber.topic}")
        try:
            await _listen(subscriber)
        finally:
            self._subscribers.discard(subscriber)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self, subscriber: _Subscriber) -> None:
        tape, topic = subscriber.tape, subscriber.topic
        while not subscriber.socket.closed:
            while tape.last <= subscriber.after:
                await tape.changed()
            if subscriber.after + 1 < tape.first:
                subscriber.after = tape.first - 1
                await subscriber.socket.send_str(json.dumps({"op": "reset", "oldest": tape.first}))
                continue
            # Moved before the send, so that a resume that arrives meanwhile is not overwritten.
            subscriber.after = seq = subscriber.after + 1
            fresh, subscriber.high = seq > subscriber.high, max(seq, subscriber.high)
            if fresh and rules.cuts_connection(self._behaviour, self._dice, topic, seq):
                subscriber.transport.abort()
                return
            if not (fresh and rules.drops_frame(self._behaviour, self._dice, topic, seq)):
                await subscriber.socket.send_str(json.dumps({"seq": seq, "data": wire.encode(tape[seq])}))


async def _listen(subscriber: _Subscriber) -> None:
    async for message in subscriber.socket:
        if message.type is WSMsgType.TEXT:
            for after in _resume_point(message.data):
                subscriber.after = min(after, subscriber.high)
                subscriber.tape.wake()


def _resume_point(text: str) -> Iterator[int]:
    try:
        document = wire.parse(text)
        if document.get("op") == "resume":
            yield max(0, int(wire.number(document, "after")))
    except wire.WireError:
        return  # a client that talks nonsense keeps its stream


def _refuse(reason: RejectReason, *, status: int | None = None, detail: str = "") -> web.Response:
    headers = {"Retry-After": "1"} if reason is RejectReason.RATE_LIMITED else {}
    body = {"reason": reason.value, "detail": detail}
    return web.json_response(body, status=status or STATUS.get(reason, UNPROCESSABLE), headers=headers)


def _remember(memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    if len(memory) > REMEMBERED_ORDERS:
        memory.popitem(last=False)
