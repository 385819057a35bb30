from __future__ import annotations

import asyncio
import gzip
import os
import stat
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest

from agent.net.http_server import HttpServer
from agent.net.server_message import ServerLimits, ServerRequest, ServerResponse, http_date
from tests.support.server_events import ServerEvents


async def _hello(request: ServerRequest) -> ServerResponse:
    return ServerResponse(f"hello {request.query.get('name', 'world')}\n".encode())


async def _large(_request: ServerRequest) -> ServerResponse:
    return ServerResponse(b"metric 1\n" * 1000)


async def _broken(_request: ServerRequest) -> ServerResponse:
    raise RuntimeError("secret detail")


async def _hanging(_request: ServerRequest) -> ServerResponse:
    await asyncio.Event().wait()
    raise AssertionError


class Lines:
    """A handler that streams two lines and then waits, and notes when it is closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def __call__(self, _request: ServerRequest) -> ServerResponse:
        return ServerResponse(self._body(), content_type="application/x-ndjson")

    async def _body(self):
        try:
            yield b"one\n"
            yield b"two\n"
            await asyncio.Event().wait()
        finally:
            self.closed.set()


async def _raising(_request: ServerRequest) -> ServerResponse:
    async def body():
        yield b"one\n"
        raise ValueError("half way")

    return ServerResponse(body())


async def _short(_request: ServerRequest) -> ServerResponse:
    async def body():
        yield b"one\n"
        yield b"two\n"

    return ServerResponse(body())


ROUTES = {
    "GET /": _hello,
    "GET /large": _large,
    "GET /broken": _broken,
    "GET /hang": _hanging,
    "POST /do": _hello,
    "GET /raise": _raising,
    "GET /short": _short,
}


@asynccontextmanager
async def _serving(routes=ROUTES, **limits):
    notes = ServerEvents()
    server = HttpServer(routes, notes, limits=ServerLimits(**limits))
    port = await server.listen("127.0.0.1", 0)
    try:
        yield port, notes, server
    finally:
        await server.close()


async def _talk(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()


def _get(path: str = "/", *headers: str, method: str = "GET", close: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *headers, *(["connection: close"] if close else [])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


async def test_answers_get_with_security_headers():
    """A route's answer arrives whole, and no answer may be stored, sniffed or framed."""
    async with _serving() as (port, _, _server):
        status, headers, body = _parts(await _talk(port, _get("/?name=x%20y")))
    assert (status, body) == (200, b"hello x y\n")
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["date"].endswith("GMT")


async def test_head_has_the_headers_without_the_body():
    """HEAD tells the length that GET would have, and sends nothing."""
    async with _serving() as (port, _, _server):
        status, headers, body = _parts(await _talk(port, _get(method="HEAD")))
    assert (status, headers["content-length"], body) == (200, "12", b"")


async def test_head_of_a_stream_sends_nothing():
    """HEAD of a streamed route ends at once."""
    async with _serving() as (port, _, _server):
        status, _, body = _parts(await asyncio.wait_for(_talk(port, _get("/short", method="HEAD")), 5))
    assert (status, body) == (200, b"")


async def test_keeps_the_connection_for_further_requests():
    """Pipelined and later requests are answered in order on one connection."""
    async with _serving() as (port, _, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_get("/?name=1", close=False) + _get("/?name=2", close=False))
        first = await reader.readuntil(b"hello 1\n")
        second = await reader.readuntil(b"hello 2\n")
        writer.write(_get("/?name=3"))
        third = await reader.read()
        writer.close()
    assert [answer.startswith(b"HTTP/1.1 200") for answer in (first, second, third)] == [True] * 3


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (_get("/nowhere"), 404),
        (_get("/", method="POST"), 405),
        (_get("/do"), 405),
        (_get("/do", method="POST"), 200),
        (_get("/do", "content-length: 3", method="POST") + b"abc", 413),
        (_get("/do", "transfer-encoding: chunked", method="POST") + b"0\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
        (_get("/do", "Content-Length: 3", method="POST") + b"abc", 413),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1:9464\r\nconnection: close\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: [::1]:9464\r\nconnection: close\r\n\r\n", 200),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (_get("/", "content-length: 1", "content-length: 2"), 400),
        (_get("/", "transfer-encoding: chunked, identity"), 501),
        (b"GET /" + b"a" * 20_000, 431),
    ],
)
async def test_refuses_what_it_does_not_serve(request_bytes, status):
    """Each wrong request gets its own status and never a crash."""
    async with _serving() as (port, notes, _server):
        answer = await _talk(port, request_bytes)
    assert _parts(answer)[0] == status
    assert notes.broken == []


async def test_405_names_what_is_allowed():
    """The answer to a wrong method names the right ones (RFC 9110 section 15.5.6)."""
    async with _serving() as (port, _, _server):
        _, headers, _ = _parts(await _talk(port, _get("/", method="POST")))
    assert headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(("accept", "zipped"), [("gzip, deflate", True), ("gzip;q=0", False), ("identity", False), ("*", True)])
async def test_compresses_large_answers_for_those_who_take_it(accept, zipped):
    """Compression is used exactly if the client allows it."""
    async with _serving() as (port, _, _server):
        _, headers, body = _parts(await _talk(port, _get("/large", f"Accept-Encoding: {accept}")))
    assert (headers.get("content-encoding") == "gzip") is zipped
    assert (gzip.decompress(body) if zipped else body) == b"metric 1\n" * 1000


async def test_a_broken_page_is_500_without_details():
    """A handler's error is reported by the agent, and not shown to the client."""
    async with _serving() as (port, notes, _server):
        status, _, body = _parts(await _talk(port, _get("/broken")))
    assert status == 500
    assert b"secret" not in body
    assert notes.broken == [("page /broken", "secret detail")]


async def test_a_page_that_hangs_is_503():
    """An answer that does not come in time is given up."""
    async with _serving(answer_time=0.02) as (port, _, _server):
        assert _parts(await _talk(port, _get("/hang")))[0] == 503


async def test_slow_header_is_cut_off():
    """A client that drips its request is dropped after the header's time, however often it sends a byte."""
    async with _serving(header_time=0.05) as (port, notes, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HT")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert notes.refused == ["header_timeout"]


async def test_idle_connection_is_closed_quietly():
    """Keep-alive ends after the idle time, and that is not a refusal."""
    async with _serving(idle_time=0.05) as (port, notes, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_get(close=False))
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"hello world\n")
        writer.close()
    assert notes.refused == []


async def test_slow_clients_make_room_for_good_ones():
    """When silent clients have taken all connections, a good request is still answered, at the expense of the oldest."""
    async with _serving(connections=3) as (port, notes, _server):
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        assert _parts(await asyncio.wait_for(_talk(port, _get()), 5))[0] == 200
        ended = [await asyncio.wait_for(reader.read(), 5) for reader, _ in slow[:5]]
        for _, writer in slow:
            writer.close()
    assert ended == [b""] * 5
    assert notes.refused == ["crowded_out"] * 6


async def test_refuses_when_all_connections_are_being_answered():
    """A connection that is being answered is never given up for a new one."""
    async with _serving(connections=1) as (port, notes, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_get("/hang"))
        await _until(lambda: any(connection.waiting_since is None for connection in server._connections.values()))
        assert await _read_refused(port) == b""
        writer.close()
        assert notes.refused == ["too_many_connections"]
        del reader


async def _read_refused(port: int) -> bytes:
    try:
        return await _talk(port, _get())
    except ConnectionResetError:
        return b""


async def _until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the server's inside has no event for it
            await asyncio.sleep(0)


async def test_streams_pieces_as_they_come_and_stops_with_the_client():
    """A streamed answer is chunked, arrives piece by piece, and its generator is closed when the client goes."""
    lines = Lines()
    async with _serving({"GET /tail": lines}) as (port, _, _server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_get("/tail", close=False))
        answer = await asyncio.wait_for(reader.readuntil(b"two\n"), 5)
        assert b"transfer-encoding: chunked" in answer.lower()
        writer.close()
        await asyncio.wait_for(lines.closed.wait(), 5)


async def test_a_stream_that_ends_is_complete():
    """The last chunk is sent when the generator ends by itself."""
    async with _serving() as (port, _, _server):
        answer = await _talk(port, _get("/short"))
    assert answer.endswith(b"0\r\n\r\n")


async def test_a_stream_that_breaks_is_visibly_incomplete():
    """An error half way leaves out the last chunk, so that the client can tell."""
    async with _serving() as (port, notes, _server):
        answer = await _talk(port, _get("/raise"))
    assert b"one\n" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert notes.broken == [("page /raise", "half way")]


async def test_a_client_that_connects_while_the_server_closes_is_dropped():
    """The kernel may have accepted a client whose turn comes after `close`: it is not served by a server that is closed."""
    async with _serving() as (port, _, _server):
        closed = HttpServer(ROUTES, ServerEvents())
        await closed.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        closed._accept(reader, writer, True)
        assert (closed._connections, writer.transport.is_closing()) == ({}, True)


async def test_close_ends_everything_and_may_be_repeated():
    """After close no task, connection or listener is left; closing again does nothing."""
    lines = Lines()
    before = asyncio.all_tasks()
    async with _serving({"GET /tail": lines}) as (port, _, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_get("/tail", close=False))
        await asyncio.wait_for(reader.readuntil(b"two\n"), 5)
        await server.close()
        await server.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    assert asyncio.all_tasks() == before
    assert lines.closed.is_set()


async def test_unix_socket_is_private_and_replaced(tmp_path):
    """The control socket has mode 0600 from the start, replaces a dead one, works under a long path and is removed at the end."""
    directory = tmp_path / ("x" * 100)
    directory.mkdir()
    path = directory / "outrider.sock"
    path.touch()
    notes = ServerEvents()
    server = HttpServer(ROUTES, notes)
    await server.listen_unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    descriptor = os.open(directory, os.O_RDONLY)
    reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}/outrider.sock")
    os.close(descriptor)
    writer.write(_get("/?name=cli"))
    assert (await reader.read()).endswith(b"hello cli\n")
    writer.close()
    await server.close()
    assert not path.exists()
    assert notes.refused == []


def test_a_date_is_written_as_http_wants_it():
    """The `Date` header agrees with the standard library's e-mail date, on each day of the week and in each month."""
    for number in range(0, 2_000_000_000, 2_592_017):
        assert http_date(number + 0.9) == formatdate(number, usegmt=True)
