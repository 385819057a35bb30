from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog
import trustme
from pydantic import ValidationError

from agent.component import Context
from agent.metrics import Metrics
from agent.net.http_server import HttpServer
from agent.net.server_message import JSON, ServerRequest, ServerResponse
from agent.sources.probes.http import HttpProbe, HttpProbeConfig
from agent.sources.probes.tcp import TcpProbe, TcpProbeConfig
from agent.telemetry import Telemetry
from agent.testing.clock import FakeClock
from tests.support.server_events import NoneBroken


@pytest.fixture
def context():
    """The context that the host gives."""
    clock = FakeClock()
    metrics = Metrics({}, clock)
    with structlog.testing.capture_logs():
        yield Context("web", clock, metrics, Telemetry(metrics, clock), {}, dict)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority and its file."""
    found = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    found.cert_pem.write_to_path(path)
    return found, path


async def _health(request: ServerRequest) -> ServerResponse:
    code = int(request.query.get("code", "200"))
    return ServerResponse(
        b'{"status": "ok", "at": "2023-11-14T22:13:00Z"}', code, JSON, headers=(("x-secret-seen", request.headers.get("x-key", "")),)
    )


async def _hang(_request: ServerRequest) -> ServerResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _move(_request: ServerRequest) -> ServerResponse:
    return ServerResponse(b"", 302, headers=(("location", "/health"),))


async def _named(request: ServerRequest) -> ServerResponse:
    return ServerResponse(b"", 200 if request.query.get("q") == "ü" else 400)


async def _utf16(_request: ServerRequest) -> ServerResponse:
    return ServerResponse('{"status": "größe"}'.encode("utf-16"), 200, JSON)


ROUTES = {
    "GET /ключ": _named,
    "GET /utf16": _utf16,
    "GET /health": _health,
    "GET /hang": _hang,
    "GET /move": _move,
    "POST /health": _health,
}


@asynccontextmanager
async def _web():
    server = HttpServer(ROUTES, NoneBroken())
    port = await server.listen("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.close()


@asynccontextmanager
async def _talker(say: bytes = b"", *, answer: bytes = b"", certificate=None, hang: bool = False):
    """A TCP server that says something, then answers a line, then ends or hangs."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
    tasks = set()

    def accept(reader, writer) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    async def serve(reader, writer) -> None:
        try:
            writer.write(say)
            if answer:
                await reader.readline()
                writer.write(answer)
            await writer.drain()
            if hang:
                await reader.read()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _look(context, **options):
    probe = HttpProbe(HttpProbeConfig(**options), context)
    try:
        return await probe.probe()
    finally:
        await probe.close()


async def _connect(context, **options):
    probe = TcpProbe(TcpProbeConfig(**options), context)
    try:
        return await probe.probe()
    finally:
        await probe.close()


def _values(result) -> dict:
    return {".".join([one.metric.name, *one.attributes.values()]): one.value for one in result.observations}


async def test_http_success_has_blackbox_figures(context):
    """A good answer succeeds, with the figures that blackbox_exporter has, by its names."""
    async with _web() as base:
        result = await _look(context, url=f"{base}/health")
    values = _values(result)
    assert (result.success, result.reason) == (True, "")
    assert values["probe_http_status_code"] == 200
    assert values["probe_http_content_length"] == values["probe_http_uncompressed_body_length"] == 46
    assert (values["probe_http_ssl"], values["probe_http_version"], values["probe_http_redirects"], values["probe_ip_protocol"]) == (
        0,
        1.1,
        0,
        4,
    )
    assert {name for name in values if name.startswith("probe_http_duration_seconds")} == {
        f"probe_http_duration_seconds.{phase}" for phase in ("resolve", "connect", "tls", "processing", "transfer")
    }
    assert values["probe_http_duration_seconds.processing"] > 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"path": "/health?code=503"}, "answered 503, expected 2xx"),
        ({"path": "/health?code=503", "status": ("503",)}, None),
        ({"path": "/move"}, "answered 302 (redirected to /health), expected 2xx"),
        ({"path": "/hang", "timeout": 0.1}, "no answer within 0.1 s, waiting for the answer"),
        ({"body_matches": "fine"}, "the body does not match 'fine'"),
        ({"body_not_matches": "status"}, "the body matches 'status'"),
        ({"header_matches": {"content-type": "html"}}, "the header content-type does not match 'html'"),
        ({"json_equals": {"status": "ok"}}, None),
        ({"json_equals": {"status": "no"}}, 'status is "ok", expected "no"'),
        ({"json_younger_than": {"at": 10}}, "at is 20 s old, expected at most 10 s"),
        ({"method": "POST"}, None),
        ({"path": "/ключ?q=ü"}, None),
        ({"path": "/utf16", "json_equals": {"status": "größe"}}, None),
        ({"path": "/utf16", "body_matches": "größe"}, None),
        ({"max_body": 10}, "the answer's body exceeds 10 bytes"),
    ],
)
async def test_http_expectations(context, options, reason):
    """Every expectation that is not met is a failed look with a sentence that says which."""
    path = options.pop("path", "/health")
    async with _web() as base:
        result = await _look(context, url=base + path, **options)
    assert result.success is (reason is None)
    assert result.reason.startswith(reason or "")
    assert bool(result.reason) is (reason is not None)


async def test_http_pattern_failures_are_marked(context):
    """`probe_failed_due_to_regex` is 1 exactly when a pattern decided."""
    async with _web() as base:
        by_pattern = await _look(context, url=f"{base}/health", body_matches="fine")
        by_status = await _look(context, url=f"{base}/health?code=500")
    assert _values(by_pattern)["probe_failed_due_to_regex"] == 1
    assert _values(by_status)["probe_failed_due_to_regex"] == 0


async def test_http_secrets_are_sent_and_never_shown(context):
    """A header's value and the URL's password reach the server and nothing else."""
    async with _web() as base:
        url = base.replace("http://", "http://user:hunter2@") + "/health"
        options = {"url": url, "headers": {"x-key": "sesame"}, "header_matches": {"x-secret-seen": "^s.s.m.$"}}
        probe = HttpProbe(HttpProbeConfig(**options), context)
        result = await probe.probe()
        bad = await _look(context, **options | {"header_matches": {"x-secret-seen": "^other$"}})
    shown = f"{probe.target} {result} {bad} {HttpProbeConfig(**options)!r}"
    assert result.success
    assert "sesame" not in shown
    assert "hunter2" not in probe.target + str(result) + str(bad)


async def test_http_nobody_there(context):
    """A refused connection is a failed look with status 0."""
    async with _talker() as port:
        pass
    result = await _look(context, url=f"http://127.0.0.1:{port}/")
    assert not result.success
    assert "refused" in result.reason
    assert _values(result)["probe_http_status_code"] == 0


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "http://0.0.0.0/"]
)
async def test_http_does_not_ask_for_credentials(context, url):
    """Metadata addresses are refused before a byte is sent."""
    result = await _look(context, url=url)
    assert not result.success
    assert "allow_link_local" in result.reason


async def test_http_over_tls_tells_the_expiry(context, authority):
    """Over TLS there is the version and the expiry; too soon an expiry is a failure."""
    ca, path = authority
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with _talker(answer=page, certificate=ca.issue_cert("localhost")) as port:
        options = {"url": f"https://localhost:{port}/", "tls": {"ca_file": path}}
        good = await _look(context, **options)
        values = _values(good)
        late = replace(context, clock=FakeClock(int((values["probe_ssl_earliest_cert_expiry"] - 86_400) * 1e9)))
        soon = await _look(late, **options, certificate_valid_for=7 * 86_400)
    assert good.success, good.reason
    assert values["probe_http_ssl"] == 1
    assert any(name.startswith("probe_tls_version_info.TLSv1") for name in values)
    assert (soon.success, soon.reason) == (False, "the certificate expires in 1.0 days")


async def test_http_distrusts_unknown_certificates(context, authority):
    """A certificate of an unknown authority is a failed look that says so."""
    async with _talker(certificate=authority[0].issue_cert("localhost")) as port:
        result = await _look(context, url=f"https://localhost:{port}/")
    assert not result.success
    assert "not trusted" in result.reason


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "/health", "http://a b/", "http://a..b/", "http://" + "ü" * 80 + "/"])
def test_http_urls_are_checked(url):
    """A URL that can't be asked is refused at the start."""
    with pytest.raises(ValidationError):
        HttpProbeConfig(url=url)


async def test_tcp_connects(context):
    """An open port is a success."""
    async with _talker() as port:
        result = await _connect(context, url=f"tcp://127.0.0.1:{port}")
    assert (result.success, result.reason) == (True, "")
    assert _values(result)["probe_ip_protocol"] == 4


@pytest.mark.parametrize(
    ("server", "options", "reason"),
    [
        ({"say": b"220 mail\r\n"}, {"expect": "^220 "}, None),
        ({"say": b"220 mail\r\n"}, {"expect": "^554"}, "the server closed without sending '^554'"),
        ({"answer": b"+PONG\r\n"}, {"send": "PING\r\n", "expect": r"\+PONG"}, None),
        ({"say": b"x" * 70_000, "hang": True}, {"expect": "y"}, "the server's first 64 KiB do not match 'y'"),
        ({"hang": True}, {"expect": "y", "timeout": 0.1}, "not done within 0.1 s, waiting for the answer"),
    ],
)
async def test_tcp_conversation(context, server, options, reason):
    """A text is sent and a pattern expected; a silent or talkative server is bounded in time and bytes."""
    async with _talker(**server) as port:
        result = await _connect(context, url=f"tcp://127.0.0.1:{port}", **options)
    assert (result.success, result.reason) == (reason is None, reason or "")
    by_pattern = reason is not None and "match" in reason + " match" * ("sending" in reason)
    assert _values(result)["probe_failed_due_to_regex"] == float(by_pattern)


async def test_tcp_over_tls(context, authority):
    """With TLS the certificate is verified, and its expiry reported."""
    ca, path = authority
    async with _talker(b"hello\n", certificate=ca.issue_cert("localhost")) as port:
        good = await _connect(context, url=f"tcp://localhost:{port}", tls={"ca_file": path}, expect="hello")
        distrusted = await _connect(context, url=f"tcp://localhost:{port}", tls={}, expect="hello")
    assert good.success, good.reason
    assert _values(good)["probe_ssl_earliest_cert_expiry"] > 1_700_000_000
    assert not distrusted.success
    assert "not trusted" in distrusted.reason


async def test_tcp_nobody_there(context):
    """A closed port is a failed look."""
    async with _talker() as port:
        pass
    result = await _connect(context, url=f"tcp://127.0.0.1:{port}")
    assert not result.success
    assert "refused" in result.reason


async def test_tcp_that_speaks_no_tls(context):
    """A server that speaks something else is a failed look, not a hang."""
    async with _talker(b"220 hello\r\n" * 10) as port:
        result = await _connect(context, url=f"tcp://127.0.0.1:{port}", tls={})
    assert not result.success
    assert "TLS" in result.reason


async def test_tcp_hanging_handshake_leaves_nothing(context):
    """A handshake that never ends is given up in time."""
    async with _talker(hang=True) as port:
        result = await _connect(context, url=f"tcp://127.0.0.1:{port}", tls={}, timeout=0.1)
    assert result.reason == "not done within 0.1 s, in the TLS handshake"


@pytest.mark.parametrize(
    "url", ["", "tcp://", "tcp://host", "tcp://host:0", "tcp://host:99999", "http://host:1", "tcp://u:p@host:1", "tcp://host:1/x"]
)
def test_tcp_urls_are_checked(url):
    """An address that can't be connected to is refused at the start."""
    with pytest.raises(ValidationError):
        TcpProbeConfig(url=url)


async def test_cancelling_a_probe_leaves_nothing(context):
    """A check that is cancelled at any point closes its connection."""
    async with _talker(hang=True) as port, _web() as base:
        for look in (_connect(context, url=f"tcp://127.0.0.1:{port}", expect="x"), _look(context, url=f"{base}/hang")):
            task = asyncio.create_task(look)
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
