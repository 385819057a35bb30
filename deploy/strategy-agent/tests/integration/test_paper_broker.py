"""The paper broker over its real HTTP interface."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from strategy_agent.aio import listen, port_of
from strategy_agent.brokers import client
from strategy_agent.brokers.behaviour import Behaviour
from strategy_agent.brokers.client import Broker, BrokerError
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.model import Order, Side
from tests.support import START_PRICE, eventually, free_port

FAST = Behaviour(ack_latency=0.0, fill_latency=0.0)


def order(number: int = 1, quantity: float = 1.0, symbol: str = "BTC-USD") -> Order:
    """Return an order."""
    return Order(f"{symbol}-{number}", symbol, Side.BUY, quantity)


def client_of(venue: PaperBroker, session: aiohttp.ClientSession) -> Broker:
    """Return a client of the venue."""
    return Broker(venue.name, venue.url, session)


@asynccontextmanager
async def serving(route: web.RouteDef) -> AsyncIterator[str]:
    """Serve one route, as a broker that is not ours, and yield its URL."""
    runner = await listen([route], "127.0.0.1", 0, patience=0.1)
    try:
        yield f"http://127.0.0.1:{port_of(runner)}"
    finally:
        await runner.cleanup()


async def test_an_order_is_acknowledged_with_the_venues_id(market: Market, session: aiohttp.ClientSession) -> None:
    """The acknowledgement carries both ids."""
    async with PaperBroker("alpha", market, behaviour=FAST) as venue:
        ack = await client_of(venue, session).submit(order())
    assert (ack.client_order_id, ack.order_id) == ("BTC-USD-1", "alpha-1")


async def test_order_ids_are_unique(market: Market, session: aiohttp.ClientSession) -> None:
    """The venue numbers what it takes on, and fills each of them once."""
    async with PaperBroker("alpha", market, behaviour=FAST) as venue:
        broker = client_of(venue, session)
        ids = [(await broker.submit(order(number))).order_id for number in range(6)]
        await eventually(lambda: not venue._filling, "the end of filling")
        assert venue._fills.last == 6
    assert ids == [f"alpha-{number}" for number in range(1, 7)]


@pytest.mark.parametrize(
    ("behaviour", "wanted", "reason"),
    [
        (Behaviour(rate_limit_ratio=1.0), order(), "rate_limited"),
        (Behaviour(reject_ratio=1.0), order(1), "insufficient_margin"),
        (Behaviour(reject_ratio=1.0), order(3), "price_band"),
        (FAST, order(symbol="NEVER-TRADED"), "unknown_symbol"),
    ],
)
async def test_refusals_have_a_reason(
    market: Market, session: aiohttp.ClientSession, behaviour: Behaviour, wanted: Order, reason: str
) -> None:
    """Every way to refuse an order reaches the client as a word."""
    async with PaperBroker("alpha", market, seed=7, behaviour=behaviour) as venue:
        with pytest.raises(BrokerError) as refused:
            await client_of(venue, session).submit(wanted)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 5000, 400),
        (b'{"quantity": -1}', 400),
        (b'{"client_order_id": "x", "symbol": "BTC-USD", "side": "buy", "quantity": 1' + b"0" * 400 + b"}", 400),
        (b'{"client_order_id": "\\ud800", "symbol": "BTC-USD", "side": "buy", "quantity": 1}', 400),
        (b"x" * 2**21, 413),
    ],
)
async def test_nonsense_is_answered_with_a_client_error(
    market: Market, session: aiohttp.ClientSession, body: bytes, status: int
) -> None:
    """Whatever is posted, the venue says it is the client's fault and goes on."""
    async with PaperBroker("alpha", market, behaviour=FAST) as venue:
        async with session.post(f"{venue.url}/v1/orders", data=io.BytesIO(body)) as response:
            assert response.status == status
        await client_of(venue, session).submit(order())


async def test_a_rate_limit_is_status_429(market: Market, session: aiohttp.ClientSession) -> None:
    """It is told apart from other refusals by its status already."""
    body = {"client_order_id": "x", "symbol": "BTC-USD", "side": "buy", "quantity": 1}
    async with (
        PaperBroker("alpha", market, behaviour=Behaviour(rate_limit_ratio=1.0)) as venue,
        session.post(f"{venue.url}/v1/orders", json=body) as response,
    ):
        assert response.status == 429


async def test_the_book_is_around_the_last_trade(market: Market, session: aiohttp.ClientSession) -> None:
    """A fetched book is of now and surrounds the price; an unknown symbol has none."""
    async with PaperBroker("alpha", market) as venue:
        broker = client_of(venue, session)
        book = await broker.book("BTC-USD")
        with pytest.raises(BrokerError, match="unknown_symbol"):
            await broker.book("NEVER-TRADED")
    assert book.bids[0].price < START_PRICE < book.asks[0].price
    assert abs(book.at - time.time()) < 5


async def test_the_clock_offset_is_measured(market: Market, session: aiohttp.ClientSession) -> None:
    """A venue whose clock is 250 ms ahead is found to be, within the round trip."""
    async with PaperBroker("alpha", market, behaviour=Behaviour(clock_skew=0.25)) as venue:
        assert await client_of(venue, session).sync_clock() == pytest.approx(0.25, abs=0.1)


async def test_the_clock_offset_is_taken_at_half_of_the_round_trip(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked at 100.0 and answered at 100.4, a clock that says 105.0 is 4.8 s ahead."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"now": 105.0})

    async with serving(web.get("/v1/time", answer)) as url:
        monkeypatch.setattr(client, "time", SimpleNamespace(time=iter([100.0, 100.4]).__next__))
        assert await Broker("alpha", url, session).sync_clock() == pytest.approx(4.8)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (422, '{"reason": "price_band"}', "price_band"),
        (418, '{"reason": "a word of its own"}', "http_418"),
        (500, "no json", "http_500"),
        (200, "no json", "protocol"),
        (201, "{}", "protocol"),
    ],
)
async def test_a_reason_is_a_known_word_or_the_status(
    session: aiohttp.ClientSession, status: int, body: str, reason: str
) -> None:
    """A peer cannot make up labels; what is no acknowledgement is none."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    async with serving(web.post("/v1/orders", answer)) as url:
        with pytest.raises(BrokerError) as refused:
            await Broker("alpha", url, session).submit(order())
    assert refused.value.reason == reason


async def test_an_answer_that_does_not_come_is_a_timeout(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the connection and says nothing is given up, with that reason."""
    monkeypatch.setattr(client, "TIMEOUT", aiohttp.ClientTimeout(total=0.05))

    async def ponder(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    async with serving(web.get("/v1/time", ponder)) as url:
        with pytest.raises(BrokerError) as refused:
            await Broker("alpha", url, session).sync_clock()
    assert refused.value.reason == "timeout"


async def test_nobody_there_is_unreachable(session: aiohttp.ClientSession) -> None:
    """A refused connection is an error with a fixed reason."""
    broker = Broker("alpha", f"http://127.0.0.1:{free_port()}", session)
    with pytest.raises(BrokerError) as refused:
        await broker.book("BTC-USD")
    assert refused.value.reason == "unreachable"


async def test_an_outage_refuses_and_then_passes(market: Market, session: aiohttp.ClientSession) -> None:
    """While away the venue refuses on the same port where it is found afterwards."""
    async with PaperBroker("alpha", market, behaviour=FAST) as venue:
        broker, port = client_of(venue, session), venue.port
        outage = asyncio.create_task(venue.outage(0.1))
        await asyncio.sleep(0.05)
        assert not venue.up
        with pytest.raises(BrokerError, match="unreachable"):
            await broker.book("BTC-USD")
        await outage
        assert (venue.up, venue.port) == (True, port)
        await broker.book("BTC-USD")


async def test_the_venue_waits_for_its_port(market: Market) -> None:
    """If something else took the port meanwhile, the venue comes back when it is free again."""
    async with PaperBroker("alpha", market) as venue:
        await venue.stop()
        squatter = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", venue.port)
        outage = asyncio.create_task(venue.outage(0.0))
        await asyncio.sleep(0.15)
        assert not outage.done()
        squatter.close()
        await squatter.wait_closed()
        await asyncio.wait_for(outage, 5)
        assert venue.up


async def test_orders_under_way_are_filled_after_an_outage(market: Market, session: aiohttp.ClientSession) -> None:
    """What was acknowledged before the outage is filled during it."""
    behaviour = Behaviour(ack_latency=0.0, fill_latency=0.05, latency_spread=0.0)
    async with PaperBroker("alpha", market, behaviour=behaviour) as venue:
        await client_of(venue, session).submit(order())
        await venue.outage(0.1)
        assert venue._fills.last == 1
