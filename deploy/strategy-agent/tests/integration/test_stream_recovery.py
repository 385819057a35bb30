"""Streams over real WebSockets: gaps, drops, outages, frames that are gone, peers that talk nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from strategy_agent.brokers.behaviour import CALM, Behaviour
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.brokers.stream import Stream, Subscription
from strategy_agent.brokers.tape import Tape
from strategy_agent.model import Tick
from strategy_agent.wire import decode_tick
from tests.support import RecordingObserver, eventually


class Follower:
    """A stream of ticks that keeps the numbers it was given."""

    def __init__(self, session: aiohttp.ClientSession, url: Callable[[], str]) -> None:
        self.observer = RecordingObserver()
        self.seen: list[int] = []
        subscription = Subscription(url, decode_tick, self._take)
        self.stream = Stream(session, subscription, self.observer)

    async def _take(self, seq: int, _: Tick) -> None:
        self.seen.append(seq)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow for as long as the block lasts."""
        task = asyncio.create_task(self.stream.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def reach(self, seq: int) -> None:
        """Wait for a frame."""
        await eventually(lambda: self.stream.last >= seq, f"frame {seq}")


def publish(market: Market, count: int) -> None:
    """Print so many trades."""
    for number in range(count):
        market.publish(Tick("BTC-USD", 100.0 + number, 0.0))


def ticks_url(venue: PaperBroker) -> Callable[[], str]:
    """Return where the venue streams ticks."""
    return lambda: f"{venue.url}/v1/stream/ticks"


async def test_frames_arrive_once_and_in_order(session: aiohttp.ClientSession) -> None:
    """On a calm venue every number from 1 on arrives once."""
    market = Market()
    async with PaperBroker("alpha", market) as venue:
        follower = Follower(session, ticks_url(venue))
        async with follower.running():
            publish(market, 200)
            await follower.reach(200)
    assert follower.seen == list(range(1, 201))
    assert (follower.observer.connections, follower.observer.missing) == (1, 0)


async def test_gaps_are_noticed_and_filled(session: aiohttp.ClientSession) -> None:
    """A venue that forgets every fifth frame still delivers them all, and the gaps are counted."""
    market = Market()
    async with PaperBroker("alpha", market, seed=1, behaviour=Behaviour(gap_ratio=0.2)) as venue:
        follower = Follower(session, ticks_url(venue))
        async with follower.running():
            await eventually(lambda: follower.observer.connections == 1, "a connection")
            for _ in range(60):
                publish(market, 5)
                await asyncio.sleep(0.002)
            # A gap at the very end shows with the next frame only, so the last one must come for certain.
            venue._behaviour = CALM
            publish(market, 1)
            await follower.reach(301)
    assert follower.seen == list(range(1, 302))
    assert follower.observer.missing > 10


async def test_a_gap_is_filled_without_waiting_for_the_next_frame(session: aiohttp.ClientSession) -> None:
    """Once a gap is noticed the venue sends what is missing at once, also when its market stands still."""
    market = Market()
    async with PaperBroker("alpha", market, behaviour=Behaviour(gap_ratio=1.0)) as venue:
        follower = Follower(session, ticks_url(venue))
        async with follower.running():
            await eventually(lambda: follower.observer.connections == 1, "a connection")
            publish(market, 5)
            await asyncio.sleep(0.05)
            venue._behaviour = CALM
            publish(market, 1)
            await follower.reach(6)
    assert follower.seen == [1, 2, 3, 4, 5, 6]
    assert follower.observer.missing == 5


@pytest.mark.parametrize("cut", [0.02, 0.1])
async def test_cut_connections_are_resumed(session: aiohttp.ClientSession, cut: float) -> None:
    """A venue that keeps cutting the connection delivers everything once all the same."""
    market = Market()
    async with PaperBroker("alpha", market, seed=2, behaviour=Behaviour(disconnect_ratio=cut)) as venue:
        follower = Follower(session, ticks_url(venue))
        async with follower.running():
            await eventually(lambda: follower.observer.connections == 1, "a connection")
            publish(market, 100)
            await follower.reach(100)
    assert follower.seen == list(range(1, 101))
    assert set(follower.observer.reasons) == {"dropped"}


async def test_an_outage_is_survived(session: aiohttp.ClientSession) -> None:
    """What is traded while the venue is away arrives when it is back."""
    market = Market()
    async with PaperBroker("alpha", market) as venue:
        follower = Follower(session, ticks_url(venue))
        async with follower.running():
            publish(market, 10)
            await follower.reach(10)
            outage = asyncio.create_task(venue.outage(0.2))
            await eventually(lambda: "refused" in follower.observer.reasons, "a refused connection")
            publish(market, 10)
            await outage
            await follower.reach(20)
    assert follower.seen == list(range(1, 21))


async def test_the_feed_moves_to_another_venue(session: aiohttp.ClientSession) -> None:
    """Asked again for its address, the stream goes on elsewhere from where it was."""
    market = Market()
    async with PaperBroker("alpha", market) as alpha, PaperBroker("beta", market) as beta:
        urls = [alpha.url, beta.url]
        follower = Follower(session, lambda: f"{urls[0]}/v1/stream/ticks")
        async with follower.running():
            publish(market, 10)
            await follower.reach(10)
            urls.pop(0)
            await alpha.stop()
            publish(market, 10)
            await follower.reach(20)
    assert follower.seen == list(range(1, 21))


async def test_what_the_venue_forgot_is_counted_as_lost(session: aiohttp.ClientSession) -> None:
    """Frames that are no longer on the tape are skipped with their number known."""
    market = Market(Tape(keep=10))
    publish(market, 100)
    async with PaperBroker("alpha", market) as venue:
        follower = Follower(session, ticks_url(venue))
        async with follower.running():
            await follower.reach(100)
    assert follower.seen == list(range(91, 101))
    assert follower.observer.gone == 90


@pytest.mark.parametrize(
    "frame", ["no json", "[]", "{}", '{"seq": "1"}', '{"seq": 1}', '{"seq": 1, "data": {}}', '{"op": "reset"}']
)
async def test_a_venue_that_talks_nonsense_is_left_and_tried_again(session: aiohttp.ClientSession, frame: str) -> None:
    """A frame outside the protocol ends the connection with that reason, and the stream goes on trying."""

    async def babble(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(frame)
        await socket.receive()
        return socket

    application = web.Application()
    application.router.add_get("/", babble)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    follower = Follower(session, lambda: f"http://127.0.0.1:{runner.addresses[0][1]}/")
    async with follower.running():
        await eventually(lambda: follower.observer.connections >= 2, "a second attempt")
    await runner.cleanup()
    assert set(follower.observer.reasons) == {"protocol"}
    assert follower.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/stream/gossip",
        "/v1/stream/ticks?after=-1",
        "/v1/stream/ticks?after=x",
        "/v1/stream/ticks?after=" + "9" * 5000,
    ],
)
async def test_wrong_subscriptions_are_refused(session: aiohttp.ClientSession, path: str) -> None:
    """An unknown topic or position is a client error, said in words."""
    async with PaperBroker("alpha", Market()) as venue, session.get(venue.url + path) as response:
        assert response.status == 400
        assert (await response.json())["reason"] == "malformed"


@pytest.mark.parametrize("text", ["no json", "[]", '{"op": "dance"}', '{"op": "resume", "after": "x"}'])
async def test_a_client_that_talks_nonsense_keeps_its_stream(session: aiohttp.ClientSession, text: str) -> None:
    """The venue ignores what it does not understand and sends on."""
    market = Market()
    async with (
        PaperBroker("alpha", market) as venue,
        session.ws_connect(f"{venue.url}/v1/stream/ticks") as socket,
    ):
        await socket.send_str(text)
        publish(market, 1)
        assert (await socket.receive_json(timeout=5))["seq"] == 1


async def test_a_client_ahead_of_the_venue_starts_at_its_end(session: aiohttp.ClientSession) -> None:
    """A position from another life of the venue does not leave the client without frames."""
    market = Market()
    publish(market, 5)
    async with (
        PaperBroker("alpha", market) as venue,
        session.ws_connect(f"{venue.url}/v1/stream/ticks", params={"after": 99}) as socket,
    ):
        publish(market, 1)
        assert (await socket.receive_json(timeout=5))["seq"] == 6
