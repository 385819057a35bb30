"""Requests with bodies: taken whole, or refused with the exceeded bound; whatever is sent, memory and time are bounded."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from contextlib import asynccontextmanager

import pytest

from agent.errors import SpoolFullError
from agent.net.http_server import HttpServer
from agent.net.server_message import BodyLimits, BodyRoute, ServerLimits, ServerRequest, ServerResponse
from tests.support.server_events import ServerEvents

LIMITS = BodyLimits(packed=1000, size=5000, time=5.0)


async def _echo(request: ServerRequest) -> ServerResponse:
    return ServerResponse(request.body)


async def _length(request: ServerRequest) -> ServerResponse:
    return ServerResponse(f"{len(request.body)} bytes\n".encode())


@asynccontextmanager
async def _serving(handler=_length, limits: BodyLimits = LIMITS, **options):
    events = ServerEvents()
    server = HttpServer({"POST /in": BodyRoute(handler, limits), "GET /": _echo}, events, limits=ServerLimits(**options))
    port = await server.listen("127.0.0.1", 0)
    try:
        yield port, events, server
    finally:
        await server.close()


def _post(body: bytes, *headers: str, length: int | None = None, close: bool = True) -> bytes:
    lines = ["POST /in HTTP/1.1", "Host: localhost", *headers, *(["Connection: close"] if close else [])]
    if not any(header.lower().startswith("transfer-encoding") for header in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


async def _talk(port: int, *pieces: bytes, ends: bool = False) -> bytes:
    """Send the pieces, and with `ends` the end of everything; return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0)
    if ends:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


def _status(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body.decode().strip()


GZIP = "Content-Encoding: gzip"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (_post(b"plain"), b"plain"),
        (_post(b""), b""),
        (_post(_chunked(b"in ", b"two"), CHUNKED), b"in two"),
        (_post(_chunked(), CHUNKED), b""),
        (_post(gzip.compress(b"packed"), GZIP), b"packed"),
        (_post(gzip.compress(b"a") + gzip.compress(b"b"), "content-encoding:  GZIP "), b"ab"),
        (_post(zlib.compress(b"packed"), "Content-Encoding: deflate"), b"packed"),
        (_post(_chunked(*(bytes([byte]) for byte in gzip.compress(b"bit by bit"))), GZIP, CHUNKED), b"bit by bit"),
        (_post(b"plain", "Content-Encoding: identity"), b"plain"),
        (_post(b"", GZIP), b""),
        (_post(b"x" * 5000), b"x" * 5000),
    ],
)
async def test_a_body_arrives_whole(data, body):
    """However it is framed and compressed, the handler gets the bytes that were meant."""
    async with _serving(_echo) as (port, events, server):
        assert (await _talk(port, data)).endswith(b"\r\n\r\n" + body)
        assert (events.refused, events.broken) == ([], [])
        assert server.serving.body_memory._taken == 0


@pytest.mark.parametrize(
    ("data", "status", "words", "reason"),
    [
        (_post(b"x" * 5001), 413, "the body has 5001 bytes, at most 5000 are taken", "body_too_large"),
        (_post(b"", length=10**15), 413, "at most 5000 are taken", "body_too_large"),
        (_post(bytes(1001), GZIP), 413, "the body has 1001 bytes, at most 1000 are taken", "body_too_large"),
        (_post(_chunked(*[b"x" * 1000] * 6), CHUNKED), 413, "the body is larger than 5000 bytes", "body_too_large"),
        (_post(gzip.compress(bytes(5001)), GZIP), 413, "the body is larger than 5000 bytes once decompressed", "body_too_large"),
        (_post(gzip.compress(b"whole")[:-3], GZIP), 400, "the body can't be decompressed: it ends in the middle", "body_damaged"),
        (_post(b"not gzip", GZIP), 400, "the body can't be decompressed", "body_damaged"),
        (_post(b"x", "Content-Encoding: br"), 415, "the Content-Encoding 'br' is not one of gzip, x-gzip, deflate", "body_coding"),
        (_post(b"x", "Content-Encoding: gzip, gzip"), 415, "is not one of gzip", "body_coding"),
        (_post(b"zz\r\nnot a chunk", CHUNKED), 400, "the body is malformed", "body_malformed"),
    ],
)
async def test_a_body_that_is_not_taken_is_answered(data, status, words, reason):
    """The answer names the bound or the fault, also to a client that has not finished sending; the refusal is counted."""
    async with _serving() as (port, events, server):
        answer = _status(await _talk(port, data))
        assert answer[0] == status
        assert words in answer[1]
        assert events.refused == [reason]
        assert server.serving.body_memory._taken == 0


async def test_an_unknown_coding_is_answered_with_the_known_ones():
    """RFC 9110 section 15.5.16: the client learns what it may send instead."""
    async with _serving() as (port, _, _server):
        answer = await _talk(port, _post(b"x", "Content-Encoding: zstd"))
    assert b"accept-encoding: gzip, x-gzip, deflate\r\n" in answer.lower()


async def test_a_body_shorter_than_announced_is_malformed():
    """The answer to a client that ends before its announced length says how many bytes arrived."""
    async with _serving() as (port, events, _server):
        status, words = _status(await _talk(port, _post(b"half", length=8), ends=True))
    assert status == 400
    assert "received 4 bytes, expected 8" in words
    assert events.refused == ["body_malformed"]


async def test_a_body_longer_than_announced_is_another_request():
    """Bytes after the announced length are read as the next request, and refused as one."""
    async with _serving(_echo) as (port, events, _server):
        answer = await _talk(port, _post(b"half and more", length=4, close=False))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\nhalf" in answer
    assert b"HTTP/1.1 400" in answer
    assert events.refused == ["malformed"]


async def test_a_slow_body_is_given_up():
    """A client that drips its body has so much time in all, however often it sends a byte."""
    async with _serving(limits=BodyLimits(time=0.05)) as (
        port,
        events,
        _server,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_post(b"ha", length=4))
        assert _status(await asyncio.wait_for(reader.read(), 5)) == (408, "the body has not arrived within 0.05 s")
        writer.close()
    assert events.refused == ["body_timeout"]


async def test_a_client_that_goes_away_leaves_nothing():
    """A body that breaks off with its connection gives back its memory and the connection's place."""
    async with _serving() as (port, _, server):
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_post(b"x" * 100, length=4000))
        await _until(lambda: server.serving.body_memory._taken == 100)
        writer.transport.abort()
        await _until(lambda: not server._connections)
        assert server.serving.body_memory._taken == 0


async def test_a_bomb_costs_no_more_than_its_bound():
    """100 MB in 100 kB of gzip stop at the bound; at no time are more than a few multiples of it in memory."""
    bomb, limits = gzip.compress(bytes(100_000_000), 9), BodyLimits(packed=1 << 20, size=1 << 20)
    async with _serving(limits=limits) as (port, events, _server):
        tracemalloc.start()
        try:
            status, words = _status(await _talk(port, _post(bomb, GZIP)))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (status, words) == (413, "the body is larger than 1048576 bytes once decompressed")
    assert peak < 4 << 20
    assert events.refused == ["body_too_large"]


async def test_members_without_content_are_bounded_too():
    """A flood of empty gzip members counts by its own bytes."""
    async with _serving(limits=BodyLimits(packed=100_000, size=100)) as (port, _, _server):
        assert _status(await _talk(port, _post(gzip.compress(b"") * 4900, GZIP))) == (200, "0 bytes")
        assert _status(await _talk(port, _post(_chunked(gzip.compress(b"") * 6000), GZIP, CHUNKED)))[0] == 413


async def test_all_bodies_together_are_bounded():
    """While others take the memory, a body is refused as a passing trouble, with a wait; when they are answered it is taken."""
    going = asyncio.Event()

    async def wait(request: ServerRequest) -> ServerResponse:
        await going.wait()
        return await _length(request)

    async with _serving(wait, bodies=6000) as (port, events, server):
        first = asyncio.ensure_future(_talk(port, _post(b"x" * 4000)))
        await _until(lambda: server.serving.body_memory._taken == 4000)
        refused = await _talk(port, _post(b"x" * 4000))
        assert _status(refused) == (503, "other requests take the 6000 bytes that are kept for bodies: try again later")
        assert b"retry-after: 1\r\n" in refused.lower()
        going.set()
        assert _status(await first)[0] == 200
        assert _status(await _talk(port, _post(b"x" * 4000)))[0] == 200
    assert events.refused == ["body_memory"]


async def test_slow_bodies_make_room_for_good_ones():
    """When all connections are taken by clients that send their body slowly, the one that has waited longest goes."""
    async with _serving(connections=2) as (port, events, _server):
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in slow:
            writer.write(_post(b"ha", length=4))
        await asyncio.sleep(0)
        assert _status(await _talk(port, _post(b"good")))[0] == 200
        for _, writer in slow:
            writer.close()
    assert events.refused == ["crowded_out"]


async def test_the_connection_is_kept_after_a_body():
    """Requests with bodies follow one another on a connection, also pipelined; after a refused body it ends."""
    async with _serving(_echo) as (port, _, _server):
        answer = await _talk(
            port,
            _post(b"one", close=False) + _post(_chunked(b"two"), CHUNKED, close=False) + _post(b"x", "Content-Encoding: br", close=False),
        )
    assert [answer.count(b"HTTP/1.1 %d " % status) for status in (200, 415)] == [2, 1]
    assert answer.index(b"\r\n\r\none") < answer.index(b"\r\n\r\ntwo")


@pytest.mark.parametrize("rest", [b"5\r\nabcdeXX0\r\n\r\n", b"zz\r\n", b"", b"ffffffffffffffff\r\nabc", b"\0" * 50_000])
async def test_the_rest_of_a_refused_body_is_not_parsed(rest):
    """Whatever follows a body that is refused by its head, the answer arrives and the connection ends."""
    async with _serving() as (port, events, server):
        answer = await _talk(port, _post(rest, CHUNKED, "Content-Encoding: br"), ends=True)
        assert _status(answer)[0] == 415
        await _until(lambda: not server._connections)
    assert events.refused == ["body_coding"]


async def test_a_client_that_waits_for_leave_gets_it():
    """`Expect: 100-continue` is answered with 100 where the body is taken, and with the refusal alone where it is not."""
    async with _serving(_echo) as (port, _, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_post(b"", "Expect: 100-continue", length=5))
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")
        writer.write(b"hello")
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"hello")
        writer.close()
        refused = await _talk(port, _post(b"", "Expect: 100-continue", length=5001))
    assert refused.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_sends_on_still_gets_its_answer():
    """The rest of a refused body is taken and dropped, so that no reset destroys the answer that says why."""
    async with _serving() as (port, _, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_post(b"x" * 4_000_000))
        await writer.drain()
        assert _status(await asyncio.wait_for(reader.read(), 5))[0] == 413
        writer.close()


async def test_a_length_given_in_two_ways_is_refused():
    """A proxy before us may have used the other one: what follows could be a request that it did not see (RFC 9112 section 6.3)."""
    async with _serving(_echo) as (port, events, _server):
        hidden = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answer = await _talk(port, _post(_chunked(b"ab") + hidden, CHUNKED, "Content-Length: 4", close=False))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert _status(answer) == (400, "Content-Length and Transfer-Encoding exclude each other")
    assert events.refused == ["malformed"]


@pytest.mark.parametrize(
    "data",
    [_post(b"x" * 5001, close=False), _post(b"zz\r\n", CHUNKED, close=False), b"no request\r\n\r\n"],
)
async def test_a_client_learns_that_its_connection_ends(data):
    """Where the rest of the bytes is not read as requests, the answer says so, and a client does not send its next request there."""
    async with _serving() as (port, _, _server):
        assert b"\r\nconnection: close\r\n" in (await _talk(port, data)).lower()


async def test_what_the_spool_does_not_take_the_client_may_send_again():
    """A handler need not catch what `emit` raises: the answer is 503 with a wait, without the spool's paths, and it is counted."""

    async def emitting(_request: ServerRequest) -> ServerResponse:
        raise SpoolFullError("/var/lib/secret is full")

    async with _serving(emitting) as (port, events, server):
        answer = await _talk(port, _post(b"one"))
        assert _status(answer) == (503, "the agent can't store it now: try again later")
        assert b"\r\nretry-after: 1\r\n" in answer.lower()
        assert (events.refused, events.broken) == (["not_stored"], [])
        assert server.serving.body_memory._taken == 0


async def test_a_costly_body_does_not_hold_up_others():
    """Other tasks have their turn after each KiB of a compressed body, however much of it arrives at once."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    body = gzip.compress(b"") * 5000
    counting = asyncio.ensure_future(count())
    async with _serving(limits=BodyLimits()) as (port, _, _server):
        assert _status(await _talk(port, _post(body, GZIP))) == (200, "0 bytes")
    counting.cancel()
    assert turns > len(body) / 1200


async def test_pipelined_requests_do_not_hold_up_others():
    """A client that sends many requests at once waits its turn after each answer."""
    order: list[str] = []

    async def note(request: ServerRequest) -> ServerResponse:
        order.append(request.body.decode())
        return ServerResponse()

    async with _serving(note) as (port, _, _server):
        many = asyncio.ensure_future(_talk(port, _post(b"many", close=False) * 300 + _post(b"many")))
        await _until(lambda: order)
        await _talk(port, _post(b"one"))
        assert order.index("one") < 300
        await many


async def test_short_pieces_take_no_more_memory_than_long_ones():
    """Chunks of a few bytes are collected as they are, without an object for each; nothing is held twice while it is handled."""
    held = []

    async def measure(request: ServerRequest) -> ServerResponse:
        held.append(tracemalloc.get_traced_memory()[0])
        return await _length(request)

    async with _serving(measure, BodyLimits()) as (port, _, _server):
        data = _post(_chunked(*[b"abc"] * 30_000), CHUNKED)
        tracemalloc.start()
        try:
            assert _status(await _talk(port, data)) == (200, "90000 bytes")
        finally:
            tracemalloc.stop()
    assert held[0] < 900_000


async def test_other_routes_take_no_bodies():
    """A body where none is expected is refused before it is read."""
    async with _serving() as (port, events, _server):
        answer = await _talk(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
    assert _status(answer) == (413, "no bodies are taken")
    assert events.refused == ["body"]


async def _until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the server's inside has no event for it
            await asyncio.sleep(0.001)
