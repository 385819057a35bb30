"""Streams over real WebSockets: gaps, drops, outages, frames that are gone, peers that talk nonsense."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from strategy_agent.aio import listen, port_of
from strategy_agent.brokers import behaviour as rules
from strategy_agent.brokers.behaviour import Behaviour
from strategy_agent.brokers.client import Broker
from strategy_agent.brokers.paper import Market, PaperBroker, Tape
from strategy_agent.model import Frame, Tick, encode
from tests.support import Follower, eventually, numbers, print_trades, ticks_of


async def connected(venue: PaperBroker) -> None:
    """Wait until somebody is connected and what is printed from now on is news to them."""
    await eventually(lambda: bool(venue._connections), "a connection")
    await asyncio.sleep(0.01)


async def test_frames_arrive_once_and_in_order(session: aiohttp.ClientSession) -> None:
    """On a calm venue every number from 1 on arrives once, over one connection."""
    market = Market()
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as follower:
        print_trades(market, 200)
        await follower.reach(200)
    assert numbers(follower.seen) == list(range(1, 201))
    assert (follower.reasons(), follower.missing) == ({}, 0)


async def test_gaps_are_noticed_and_filled(session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that forgets every fifth frame still delivers them all; each gap is counted, and ends a connection."""
    monkeypatch.setattr(rules, "drops_frame", lambda *name: name[-1] % 5 == 0)
    market = Market()
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as follower:
        await connected(venue)
        for number in range(1, 22):
            print_trades(market)
            if number % 5:  # the forgotten one shows with the next
                await follower.reach(number)
    assert numbers(follower.seen) == list(range(1, 22))
    assert (follower.missing, follower.reasons()) == (4, {"gap": 4})


async def test_what_is_missing_comes_without_waiting_for_the_market(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a gap is noticed all that is missing arrives at once, also when nothing more is traded."""
    monkeypatch.setattr(rules, "drops_frame", lambda *name: name[-1] <= 5)
    market = Market()
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as follower:
        await connected(venue)
        print_trades(market, 6)
        await follower.reach(6)
    assert numbers(follower.seen) == [1, 2, 3, 4, 5, 6]
    assert (follower.missing, follower.reasons()) == (5, {"gap": 1})


@pytest.mark.parametrize("cut", [0.02, 0.1])
async def test_cut_connections_are_resumed(session: aiohttp.ClientSession, cut: float) -> None:
    """A venue that keeps cutting the connection delivers everything once all the same."""
    market = Market()
    async with (
        PaperBroker("alpha", market, seed=2, behaviour=Behaviour(disconnect_ratio=cut)) as venue,
        ticks_of(session, venue) as follower,
    ):
        await connected(venue)
        print_trades(market, 100)
        await follower.reach(100)
    assert numbers(follower.seen) == list(range(1, 101))
    assert set(follower.reasons()) == {"dropped"}


async def test_an_outage_is_survived(session: aiohttp.ClientSession) -> None:
    """What is traded while the venue is away arrives when it is back."""
    market = Market()
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as follower:
        await follower.reach(print_trades(market, 10))
        outage = asyncio.create_task(venue.outage(0.2))
        await eventually(lambda: "refused" in follower.reasons(), "a refused connection")
        print_trades(market, 10)
        await outage
        await follower.reach(20)
    assert numbers(follower.seen) == list(range(1, 21))


async def test_the_feed_moves_to_another_venue(session: aiohttp.ClientSession) -> None:
    """Asked again for its broker, the stream goes on elsewhere from where it was."""
    market = Market()
    async with PaperBroker("alpha", market) as alpha, PaperBroker("beta", market) as beta:
        brokers = [Broker(venue.name, venue.url, session) for venue in (alpha, beta)]
        async with Follower(session, alpha, "ticks", Tick, lambda: brokers[0]) as follower:
            await follower.reach(print_trades(market, 10))
            brokers.pop(0)
            await alpha.stop()
            await follower.reach(print_trades(market, 10))
    assert numbers(follower.seen) == list(range(1, 21))


async def test_what_the_venue_forgot_is_counted_as_lost(session: aiohttp.ClientSession) -> None:
    """Frames that are no longer on the tape are skipped with their number known."""
    market = Market(Tape(keep=10))
    print_trades(market, 100)
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as follower:
        await follower.reach(100)
    assert numbers(follower.seen) == list(range(91, 101))
    assert follower.gone == 90


@pytest.mark.parametrize("frame", ["no json", "[]", "{}", '{"seq": "1"}', '{"seq": 1, "data": {}}', '{"seq": 1e999}'])
async def test_one_frame_that_is_nonsense_does_not_stop_the_feed(session: aiohttp.ClientSession, frame: str) -> None:
    """It is lost alone, and the next one comes over the same connection."""

    async def babble(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if request.query["after"] == "0":
            await socket.send_str(frame)
        await socket.send_str(encode(Frame(2, Tick("BTC-USD", 2.0))))
        await socket.receive()
        return socket

    runner = await listen([web.get("/v1/stream/ticks", babble)], "127.0.0.1", 0, patience=0.1)
    babbler = Broker("alpha", f"http://127.0.0.1:{port_of(runner)}", session)
    async with Follower(session, babbler, "ticks", Tick) as follower:
        await follower.reach(2)
    await runner.cleanup()
    assert follower.reasons() == {}
    assert (numbers(follower.seen), follower.gone) == ([2], 1)


@pytest.mark.parametrize(
    ("frame", "binary"),
    [(b"\xff\xfe{", False), (b'{"seq": 2, "data": null}', True), (b"x" * 5_000_000, False)],
    ids=["not UTF-8", "binary", "too long"],
)
async def test_one_frame_that_is_no_text_does_not_stop_the_feed(
    session: aiohttp.ClientSession, frame: bytes, binary: bool
) -> None:
    """Asked for again it would be the same: it is lost alone, and what comes behind it is delivered."""

    async def babble(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for seq in range(int(request.query["after"]) + 1, 5):
            if seq == 2:
                await (socket.send_bytes(frame) if binary else socket.send_frame(frame, aiohttp.WSMsgType.TEXT))
            else:
                await socket.send_str(encode(Frame(seq, Tick("BTC-USD", float(seq)))))
        await socket.receive()
        return socket

    runner = await listen([web.get("/v1/stream/ticks", babble)], "127.0.0.1", 0, patience=0.1)
    babbler = Broker("alpha", f"http://127.0.0.1:{port_of(runner)}", session)
    async with Follower(session, babbler, "ticks", Tick) as follower:
        await follower.reach(4)
    await runner.cleanup()
    assert (numbers(follower.seen), follower.gone) == ([1, 3, 4], 1)


async def test_a_venue_that_numbers_anew_within_a_connection_is_followed(session: aiohttp.ClientSession) -> None:
    """Its new numbers are not taken for repetitions: a new connection tells, and nothing of the new life is missed."""
    lives = [0]

    async def renumber(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        after = int(request.query["after"])
        if not lives[0]:
            lives[0], seqs = 1, [*range(1, 41), *range(1, 11)]
        else:
            seqs = [*range(min(after, 10) + 1, 21)]
        for seq in seqs:
            await socket.send_str(encode(Frame(seq, Tick("BTC-USD", float(seq)))))
        await socket.receive()
        return socket

    runner = await listen([web.get("/v1/stream/ticks", renumber)], "127.0.0.1", 0, patience=0.1)
    broker = Broker("alpha", f"http://127.0.0.1:{port_of(runner)}", session)
    async with Follower(session, broker, "ticks", Tick) as follower:
        await eventually(lambda: len(follower.seen) == 60, "both lives")
    await runner.cleanup()
    assert numbers(follower.seen) == [*range(1, 41), *range(1, 21)]
    assert follower.reasons() == {"behind": 1, "reset": 1}


async def test_a_new_connection_asks_for_what_comes_next(session: aiohttp.ClientSession) -> None:
    """The position goes with the request, so that nothing is sent that was there before."""
    asked: list[str] = []

    async def one_frame(request: web.Request) -> web.WebSocketResponse:
        asked.append(request.query["after"])
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(encode(Frame(len(asked), Tick("BTC-USD", 100.0))))
        await socket.close()
        return socket

    runner = await listen([web.get("/v1/stream/ticks", one_frame)], "127.0.0.1", 0, patience=0.1)
    broker = Broker("alpha", f"http://127.0.0.1:{port_of(runner)}", session)
    async with Follower(session, broker, "ticks", Tick) as follower:
        await follower.reach(3)
    await runner.cleanup()
    assert asked[:3] == ["0", "1", "2"]
    assert set(follower.reasons()) == {"closed"}


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


@pytest.mark.parametrize("text", ["no json", "[]", '{"op": "dance"}'])
async def test_a_client_that_talks_keeps_its_stream(session: aiohttp.ClientSession, text: str) -> None:
    """The venue ignores what it is told on a stream and sends on."""
    market = Market()
    async with (
        PaperBroker("alpha", market) as venue,
        session.ws_connect(f"{venue.url}/v1/stream/ticks") as socket,
    ):
        await socket.send_str(text)
        print_trades(market)
        assert (await socket.receive_json(timeout=5))["seq"] == 1


async def test_a_venue_that_starts_again_from_one_is_followed(session: aiohttp.ClientSession) -> None:
    """Its new life is followed from its first tick, and the reset is counted as a reason to reconnect."""
    market = Market()
    print_trades(market, 400)
    async with PaperBroker("alpha", market) as venue, ticks_of(session, venue) as follower:
        await follower.reach(400)
        venue._market = fresh = Market()
        print_trades(fresh, 30)
        venue.cut_connections()
        await eventually(lambda: len(follower.seen) == 430, "all ticks of the new life")
    assert numbers(follower.seen[400:]) == list(range(1, 31))
    assert follower.reasons()["reset"] == 1


async def test_a_client_ahead_of_the_venue_starts_at_its_beginning(session: aiohttp.ClientSession) -> None:
    """A position from another life of the venue: the numbers tell the client at once, also when nothing more comes."""
    market = Market()
    print_trades(market, 5)
    async with (
        PaperBroker("alpha", market) as venue,
        session.ws_connect(f"{venue.url}/v1/stream/ticks", params={"after": 99}) as socket,
    ):
        assert (await socket.receive_json(timeout=5))["seq"] == 1
