from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time

import pytest

from agent.net import http_client, http_exchange
from agent.net.http_client import ErrorKind, HttpClient, NetworkError, Request, TlsOptions
from agent.testing.http_faults import CLOSE, DEAF, HANG, RESET, FaultServer, Reply, answer

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG = 5.0
SHORT = 0.1


@pytest.fixture
async def client():
    """A client, closed afterwards."""
    made = HttpClient()
    yield made
    await made.close()


def _get(server: FaultServer, path: str = "/") -> Request:
    return Request("GET", server.url + path)


def _post(server: FaultServer, body: bytes = b"body") -> Request:
    return Request("POST", server.url + "/p", {"Content-Type": "a/b"}, body)


async def _fails(client: HttpClient, request: Request, deadline: float = LONG, **options) -> NetworkError:
    with pytest.raises(NetworkError) as raised:
        await client.send(request, deadline=deadline, **options)
    return raised.value


async def test_a_request_arrives_as_it_was_made(client):
    """Method, path with query, given and own headers and the body reach the server; the answer comes back whole."""
    async with FaultServer(answer(200, b"hello", {"X-One": "1"})) as server:
        response = await client.send(Request("POST", f"{server.url}/a/b?c=d", {"X-Two": "2"}, b"body"), deadline=LONG)
        [request] = server.log.requests
    assert (request.method, request.path, request.body) == ("POST", "/a/b?c=d", b"body")
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": http_client.USER_AGENT,
        "content-length": "4",
        "x-two": "2",
    }
    assert (response.status, response.body, response.header("x-one"), response.http_version) == (200, b"hello", "1", "1.1")
    assert response.peer == f"127.0.0.1:{server.port}"
    assert response.tls is None


async def test_given_headers_win_over_our_own(client):
    """A caller may set Host and User-Agent; each is sent once."""
    async with FaultServer() as server:
        await client.send(Request("GET", server.url, {"host": "other.test", "user-agent": "mine"}), deadline=LONG)
        [request] = server.log.requests
    assert (request.headers["host"], request.headers["user-agent"]) == ("other.test", "mine")


async def test_an_empty_post_says_its_length(client):
    """A POST without a body has Content-Length 0 (RFC 9110 section 8.6)."""
    async with FaultServer() as server:
        await client.send(_post(server, b""), deadline=LONG)
        assert server.log.requests[0].headers["content-length"] == "0"


async def test_credentials_of_the_url_are_sent_and_not_shown(client):
    """The URL's user authenticates; an error about the same URL does not show it."""
    async with FaultServer(answer(200), RESET) as server:
        url = f"http://user:hunter2@127.0.0.1:{server.port}/"
        await client.send(Request("GET", url), deadline=LONG)
        assert server.log.requests[0].headers["authorization"].startswith("Basic ")
        await client.close()
        error = await _fails(client, Request("GET", url))
    assert "hunter2" not in str(error)


async def test_connections_are_kept(client):
    """Requests to one origin, one after the other, share a connection."""
    async with FaultServer() as server:
        for _ in range(5):
            await client.send(_post(server), deadline=LONG)
        assert (len(server.log.requests), server.log.connections) == (5, 1)


async def test_connections_are_not_kept_if_not_wanted():
    """Without keep-alive each request says so and has its own connection."""
    client = HttpClient(keep_alive=False)
    async with FaultServer() as server:
        for _ in range(2):
            await client.send(_get(server), deadline=LONG)
        assert server.log.connections == 2
        assert server.log.requests[0].headers["connection"] == "close"


async def test_simultaneous_requests_do_not_wait_for_each_other(client):
    """A second request opens a second connection; afterwards one is kept."""
    async with FaultServer(answer(200, delay=0.05), answer(200, delay=0.05)) as server:
        await asyncio.gather(client.send(_get(server), deadline=LONG), client.send(_get(server), deadline=LONG))
        assert server.log.connections == 2
        await client.send(_get(server), deadline=LONG)
        assert server.log.connections == 2


@pytest.mark.parametrize("headers", [{"Connection": "close"}, {"connection": "Close, x"}])
async def test_the_server_may_end_the_connection(client, headers):
    """After `Connection: close` the next request opens a new one."""
    async with FaultServer(answer(200, headers=headers)) as server:
        for _ in range(2):
            await client.send(_get(server), deadline=LONG)
        assert server.log.connections == 2


@pytest.mark.parametrize(
    "first",
    [
        Reply(answer(200, b"one").raw + answer(500, b"planted").raw),
        Reply(answer(200, b"one").raw + b"\r\n"),
        Reply(answer(204).raw + b"a body that may not be"),
        Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n" + answer(503).raw),
    ],
)
async def test_bytes_behind_an_answer_are_not_the_next_answer(client, first):
    """Bytes behind the end of an answer, in the same packet, do not answer a later request: that gets a new connection."""
    async with FaultServer(first, answer(200, b"two")) as server:
        await client.send(_get(server), deadline=LONG)
        response = await client.send(_get(server), deadline=LONG)
        assert (response.status, response.body, server.log.connections) == (200, b"two", 2)


async def test_bytes_behind_an_answer_to_head_are_not_the_next_answer(client):
    """The body that a server wrongly sends in answer to HEAD is no answer to the next request."""
    async with FaultServer(answer(200, b"HTTP/1.1 500 planted\r\n\r\n"), answer(200, b"two")) as server:
        await client.send(Request("HEAD", server.url), deadline=LONG)
        response = await client.send(_get(server), deadline=LONG)
        assert (response.status, response.body, server.log.connections) == (200, b"two", 2)


async def test_an_old_idle_connection_is_not_used(client, monkeypatch):
    """A connection that was idle too long may be dead: it is replaced."""
    monkeypatch.setattr(http_exchange, "IDLE_LIMIT", 0.0)
    async with FaultServer() as server:
        for _ in range(2):
            await client.send(_get(server), deadline=LONG)
        assert server.log.connections == 2


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_kept_connection_that_breaks_is_replaced_once(client, end):
    """If a kept connection ends without a byte of an answer, the same bytes are sent once more on a new one."""
    async with FaultServer(answer(200), end, answer(200, b"again")) as server:
        await client.send(_post(server), deadline=LONG)
        assert (await client.send(_post(server), deadline=LONG)).body == b"again"
        assert server.log.requests[1] == server.log.requests[2]
        assert server.log.connections == 2


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_new_connection_that_breaks_is_an_error(client, end):
    """On a new connection nothing is sent twice: the caller decides."""
    async with FaultServer(end, answer(200)) as server:
        error = await _fails(client, _post(server))
        assert (error.kind, error.status, len(server.log.requests)) == (ErrorKind.RESET, None, 1)


async def test_a_kept_connection_that_breaks_twice_is_an_error(client):
    """The second try is the last."""
    async with FaultServer(answer(200), RESET, RESET, answer(200)) as server:
        await client.send(_get(server), deadline=LONG)
        assert (await _fails(client, _get(server))).kind is ErrorKind.RESET
        assert len(server.log.requests) == 3


async def test_a_broken_answer_on_a_kept_connection_is_not_sent_again(client):
    """Once an answer has begun the request has certainly arrived: it is not repeated."""
    async with FaultServer(answer(200), Reply(b"HTTP/1.1 200", then="reset"), answer(200)) as server:
        await client.send(_get(server), deadline=LONG)
        await _fails(client, _get(server))
        assert len(server.log.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(client, status):
    """A redirect is an answer like any other; nothing is sent to its location, least of all credentials."""
    async with FaultServer() as other, FaultServer(answer(status, headers={"Location": other.url})) as server:
        response = await client.send(Request("GET", server.url, {"Authorization": "Bearer x"}), deadline=LONG)
        assert (response.status, response.header("location"), other.log.connections) == (status, other.url, 0)


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: t\r\n\r\n"), b"abc"),
        (Reply(b"HTTP/1.0 200 OK\r\n\r\nabc", then="close"), b"abc"),
        (Reply(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", then="close"), b"abc"),
        (
            Reply(
                b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
            ),
            b"abc",
        ),
        (answer(200, gzip.compress(b"abc"), {"Content-Encoding": "gzip"}), b"abc"),
        (answer(200, b"abc", {"Content-Encoding": "IDENTITY"}), b"abc"),
        (answer(204), b""),
        (answer(304), b""),
        (answer(200, b"abc", {"Content-Length": "3"}, drip=0.001), b"abc"),
    ],
)
async def test_all_framings_of_an_answer_are_understood(client, reply, body):
    """Chunks, length, end of connection, interim answers, codings and slow bytes give the same body."""
    async with FaultServer(reply) as server:
        assert (await client.send(_get(server), deadline=LONG)).body == body


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"not http at all\r\n\r\n", None),
        (b"HTTP/2.0 200 OK\r\n\r\n", None),
        (b"HTTP/1.1 two hundred\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, None),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 200),
        (b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nabc", 503),
        (b"\x16\x03\x01\x02\x00", None),
    ],
)
async def test_what_is_not_http_is_a_protocol_error(client, raw, status):
    """A malformed, cut off or oversized answer is an error of the kind `protocol`, with the status if it had come."""
    async with FaultServer(Reply(raw, then="close")) as server:
        error = await _fails(client, _get(server))
    assert (error.kind, error.status) == (ErrorKind.PROTOCOL, status)


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, b"x" * 101),
        answer(200, gzip.compress(b"x" * 101), {"Content-Encoding": "gzip"}),
        Reply(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, then="close"),
        Reply(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"20\r\n" + b"x" * 32 + b"\r\n" + b"60\r\n" + b"x" * 96 + b"\r\n",
            then="hang",
        ),
        Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n" + b"x" * 4096, then="hang"),
    ],
)
async def test_answers_are_bounded(client, reply):
    """A body over the limit, packed or unpacked, announced or not, ends the reading at once."""
    async with FaultServer(reply) as server:
        error = await _fails(client, _get(server), max_body=100)
    assert (error.kind, error.status) == (ErrorKind.BODY_TOO_LARGE, 200)


async def test_a_body_of_exactly_the_limit_passes(client):
    """The limit itself is allowed."""
    async with FaultServer(answer(200, b"x" * 100)) as server:
        assert len((await client.send(_get(server), deadline=LONG, max_body=100)).body) == 100


@pytest.mark.parametrize(
    ("reply", "doing", "status"),
    [
        (HANG, "waiting for the answer", None),
        (DEAF, "waiting for the answer", None),
        (Reply(b"HTTP/1.1 200 OK\r\n", then="hang"), "waiting for the answer", None),
        (answer(200, b"x" * 100, drip=0.02), "waiting for the answer", None),
        (Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", then="hang"), "receiving the answer's body", 200),
        (Reply(b"HTTP/1.1 100 Continue\r\n\r\n", then="hang"), "waiting for the answer", None),
    ],
)
async def test_the_deadline_is_total(client, reply, doing, status):
    """Whatever the server does to delay it, the request ends at its deadline, and the error names the present step."""
    async with FaultServer(reply) as server:
        start = time.monotonic()
        error = await _fails(client, _get(server), SHORT)
        assert SHORT <= time.monotonic() - start < SHORT + 0.5
    assert (error.kind, error.status) == (ErrorKind.TIMEOUT, status)
    assert str(error) == f"no answer within {SHORT:g} s, {doing}"


async def test_a_server_that_does_not_read_is_no_trap(client):
    """A large request to a server that reads nothing ends at the deadline too."""
    async with FaultServer(DEAF) as server:
        assert (await _fails(client, _post(server, bytes(20_000_000)), SHORT)).kind is ErrorKind.TIMEOUT


@pytest.mark.parametrize("then", ["close", "hang"])
async def test_an_early_answer_is_read(client, then):
    """A server that refuses by the head alone, and hangs up or not, is understood though we were still sending."""
    async with FaultServer(answer(413, b"too large", read="head", then=then)) as server:
        assert (await client.send(_post(server, bytes(3_000_000)), deadline=LONG)).status == 413


async def test_nothing_listens(client):
    """A refused connection is an error of the kind `connect`, at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = await _fails(client, Request("GET", f"http://127.0.0.1:{port}/"))
    assert (error.kind, str(error)) == (ErrorKind.CONNECT, f"can't connect to 127.0.0.1:{port}: connection refused")


@pytest.mark.parametrize("request_", [Request("GET", "ftp://h/"), Request("GET", "http://127.0.0.1:1/\x01")])
async def test_unfit_urls_are_the_callers_fault(client, request_):
    """A URL that can't be sent to raises ValueError before anything is opened."""
    with pytest.raises(ValueError):
        await client.send(request_, deadline=LONG)


@pytest.mark.parametrize("headers", [{"a b": "c"}, {"a": "b\r\nc: d"}, {"a": "\x00"}, {"a": "ü"}])
async def test_headers_can_not_be_smuggled(client, headers):
    """A header that would break out of its line is refused and nothing is sent."""
    async with FaultServer() as server:
        with pytest.raises(ValueError):
            await client.send(Request("GET", server.url, headers), deadline=LONG)
        assert server.log.requests == []


@pytest.mark.parametrize(
    "reply", [HANG, DEAF, answer(200, b"x" * 100, drip=0.02), Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", then="hang")]
)
async def test_cancellation_passes_and_leaves_nothing(client, reply):
    """A cancelled request ends at once; its socket is gone (see the fixture) and the client works on."""
    async with FaultServer(reply) as server:
        task = asyncio.ensure_future(client.send(_get(server), deadline=LONG))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.send(_get(server), deadline=LONG)).status == 200


@pytest.mark.parametrize("steps", range(12))
async def test_cancellation_at_every_step_leaves_nothing(client, steps):
    """Wherever in the exchange the cancellation falls, no socket stays."""
    async with FaultServer() as server:
        task = asyncio.ensure_future(client.send(_get(server), deadline=LONG))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_closing_is_safe_at_any_time(client):
    """Before the first request, twice, and between requests."""
    await client.close()
    async with FaultServer() as server:
        await client.send(_get(server), deadline=LONG)
        await client.close()
        await client.close()
        assert (await client.send(_get(server), deadline=LONG)).status == 200


async def test_phases_are_measured(client):
    """The answer says how long each phase took; a kept connection saves three of them."""
    async with FaultServer(answer(200, delay=0.05), answer(200)) as server:
        first = (await client.send(_get(server), deadline=LONG)).phases
        second = (await client.send(_get(server), deadline=LONG)).phases
    assert first.connect > 0
    assert first.processing >= 0.05
    assert (first.tls, second.resolve, second.connect) == (0, 0, 0)
    assert second.processing > 0


async def test_the_caller_learns_when_the_request_is_out(client):
    """`sent` is called once per sending, before the answer."""
    calls = []
    async with FaultServer() as server:
        await client.send(_get(server), deadline=LONG, sent=lambda: calls.append(len(server.log.requests)))
    assert calls == [0]


# --- TLS ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def trust(tmp_path, authority):
    """Options that trust our authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return TlsOptions(ca_file=path)


def _context(authority, *names: str, **options) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


async def test_tls_works_and_is_described(authority, trust):
    """Over https the answer tells version, cipher and expiry; the handshake has its phase; the connection is kept."""
    client = HttpClient(tls=trust)
    async with FaultServer(tls=_context(authority, "127.0.0.1")) as server:
        response = await client.send(_post(server), deadline=LONG)
        await client.send(_post(server), deadline=LONG)
        assert server.log.connections == 1
        await client.close()
    assert response.tls is not None
    assert response.tls.version == "TLSv1.3"
    assert response.tls.cipher
    assert response.tls.not_after > time.time()
    assert response.phases.tls > 0


async def test_another_name_can_be_verified(authority, trust):
    """`server_name` is asked for and verified instead of the URL's host."""
    client = HttpClient(tls=trust.model_copy(update={"server_name": "name.test"}))
    async with FaultServer(tls=_context(authority, "name.test")) as server:
        assert (await client.send(_get(server), deadline=LONG)).status == 200
        await client.close()


async def test_unverified_tls_still_tells_the_expiry(authority):
    """With verification skipped a foreign certificate is taken, and its expiry read."""
    client = HttpClient(tls=TlsOptions(insecure_skip_verify=True))
    async with FaultServer(tls=_context(authority, "other.test")) as server:
        response = await client.send(_get(server), deadline=LONG)
        await client.close()
    assert response.tls.not_after > time.time()


async def test_a_client_certificate_is_shown(authority, trust, tmp_path):
    """With mutual TLS the server sees our certificate."""
    own = authority.issue_cert("client.test")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    context = _context(authority, "127.0.0.1")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with_certificate = HttpClient(tls=trust.model_copy(update={"cert_file": tmp_path / "own.pem"}))
    async with FaultServer(tls=context) as server:
        assert (await with_certificate.send(_get(server), deadline=LONG)).status == 200
        await with_certificate.close()
        error = await _fails(HttpClient(tls=trust), _get(server))
        assert error.kind in (ErrorKind.TLS, ErrorKind.RESET)  # TLS 1.3 reports a missing certificate only after the handshake


@pytest.mark.parametrize("reply", [DEAF, HANG])
async def test_a_hanging_handshake_ends_at_the_deadline(trust, reply):
    """A server that accepts and never answers the handshake delays a request up to its deadline only."""
    async with FaultServer(Reply(read="nothing", then="hang")) as server:
        error = await _fails(HttpClient(tls=trust), Request("GET", f"https://127.0.0.1:{server.port}/"), SHORT)
    assert (error.kind, str(error)) == (ErrorKind.TIMEOUT, f"no answer within {SHORT:g} s, in the TLS handshake")


async def test_cancelling_a_handshake_leaves_nothing(trust):
    """A cancelled handshake closes its socket."""
    async with FaultServer(DEAF) as server:
        task = asyncio.ensure_future(HttpClient(tls=trust).send(Request("GET", f"https://127.0.0.1:{server.port}/"), deadline=LONG))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
