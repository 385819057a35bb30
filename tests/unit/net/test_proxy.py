from __future__ import annotations

import asyncio
import base64
import ssl
from typing import TYPE_CHECKING

import pytest
from pydantic import TypeAdapter, ValidationError

from agent.net.http_client import ErrorKind, HttpClient, NetworkError, Request, TlsOptions
from agent.net.message import parse_url
from agent.net.proxy import DIRECT, Environment, ProxyUrl, chooser, excepts, parse_proxy
from agent.options import OptionError
from agent.testing.http_faults import HANG, FaultServer, answer
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

LONG = 5.0
BASIC = "Basic " + base64.b64encode(b"us:er:hun ter2").decode()


@pytest.fixture
def trust(authority, tmp_path: Path) -> TlsOptions:
    """Options that trust the tests' authority."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return TlsOptions(ca_file=tmp_path / "ca.pem")


def _context(authority, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def _chosen(env: dict[str, str], url: str) -> str | None:
    found = chooser(None, env)
    proxy = found.choose(parse_url(url)) if found else None
    return str(proxy) if proxy else None


async def _send(url: str, proxy_url: str | None = None, env: dict[str, str] | None = None, tls: TlsOptions | None = None):
    client = HttpClient(tls=tls, proxies=chooser(proxy_url, env or {}))
    try:
        return await client.send(Request("POST", url, {"X-One": "1"}, b"body"), deadline=LONG)
    finally:
        await client.close()


async def _fails(url: str, proxy_url: str, tls: TlsOptions | None = None) -> NetworkError:
    with pytest.raises(NetworkError) as raised:
        await _send(url, proxy_url, tls=tls)
    return raised.value


# --- which one -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "url", "proxy"),
    [
        ({}, "https://a.test", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://a.test", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://a.test", None),
        ({"HTTP_PROXY": "p:3128"}, "http://a.test", "http://p:3128"),
        ({"HTTP_PROXY": "https://p"}, "http://a.test", "https://p:443"),
        ({"ALL_PROXY": "http://all:1"}, "https://a.test", "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://p:2"}, "https://a.test", "http://p:2"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://p:2"}, "http://a.test", "http://all:1"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:2"}, "https://a.test", "http://lower:2"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": " "}, "https://a.test", "http://upper:1"),
        ({"HTTPS_PROXY": "http://[fd00::1]:3128"}, "https://a.test", "http://[fd00::1]:3128"),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://127.1.2.3:4318", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://[::1]:4318", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.test, a.test"}, "https://a.test", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.test"}, "https://a.test", "http://p:1"),
    ],
)
def test_the_environment_says_which_proxy(env: dict[str, str], url: str, proxy: str | None):
    """The scheme's own variable before the common one, lower case before upper; never for this machine or for what NO_PROXY names."""
    assert _chosen(env, url) == proxy


@pytest.mark.parametrize(
    ("rule", "host", "port", "excepted"),
    [
        ("*", "anything.test", 1, True),
        ("a.test", "a.test", 443, True),
        ("a.test", "A.test.", 443, True),
        ("a.test", "sub.a.test", 443, True),
        ("a.test", "nota.test", 443, False),
        (".a.test", "sub.a.test", 443, True),
        (".a.test", "a.test", 443, True),
        ("*.a.test", "sub.a.test", 443, True),
        ("a.test:4318", "a.test", 4318, True),
        ("a.test:4318", "a.test", 443, False),
        ("10.0.0.1", "10.0.0.1", 1, True),
        ("0.0.1", "10.0.0.1", 1, False),
        ("10.0.0.0/8", "10.20.30.40", 1, True),
        ("10.0.0.0/8", "11.0.0.1", 1, False),
        ("10.0.0.0/8", "a.test", 1, False),
        ("10.0.0.0/99", "10.0.0.1", 1, False),
        ("fd00::/8", "fd12::1", 1, True),
        ("fd00:0::1", "fd00::1", 1, True),
        ("[fd00::1]:80", "fd00::1", 80, True),
        ("[fd00::1]:80", "fd00::1", 81, False),
        (".", "a.test", 1, False),
        ("*.", "a.test", 1, False),
    ],
)
def test_no_proxy_rules(rule: str, host: str, port: int, excepted: bool):
    """A host and all below it, an address, a block, each with a port or without; a rule that is not valid covers no host."""
    assert excepts(rule, host, port) is excepted


def test_an_option_decides_before_the_environment():
    """`proxy_url` takes this machine and what NO_PROXY names as well; `direct` takes nothing."""
    env = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}
    fixed = chooser("http://own:2", env)
    assert fixed is not None
    assert str(fixed.choose(parse_url("https://localhost"))) == "http://own:2"
    assert chooser(DIRECT, env) is None


def test_without_a_proxy_nobody_chooses():
    """With no variable but NO_PROXY there is nothing to ask for each request."""
    assert chooser(None, {"NO_PROXY": "a.test", "HTTP_PROXY": ""}) is None
    assert not Environment({})


@pytest.mark.parametrize("url", ["socks5://p:1080", "http://", "http://p:port", "http://p/path", "p:1?x=1", "http://p q", "http://[::1"])
def test_what_is_no_proxy_is_refused(url: str):
    """Another scheme, a path or no host is a fault of the option that does not show the password."""
    with pytest.raises(ValueError):
        parse_proxy(url)


async def test_a_wrong_variable_is_told_with_its_name_and_without_its_password():
    """A request fails if the environment's proxy is not a valid HTTP proxy; the message names the variable and the fix."""
    with pytest.raises(NetworkError) as raised:
        await _send("https://a.test", env={"ALL_PROXY": "socks5://user:hunter2@p:1080"})
    assert raised.value.kind is ErrorKind.PROXY
    assert str(raised.value).startswith("ALL_PROXY: socks5 proxies are not supported; write http://host:port")
    assert "hunter2" not in str(raised.value)


def test_the_option_tells_what_to_write():
    """A wrong `proxy_url` is refused with a fix."""
    with pytest.raises(ValidationError, match="socks5 proxies are not supported") as raised:
        TypeAdapter(ProxyUrl).validate_python("socks5://p:1080")
    cause = raised.value.errors()[0]["ctx"]["error"]
    assert isinstance(cause, OptionError)
    assert cause.fix.startswith("write http://host:port")


# --- through it ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://us:hun[ter2]@p:1", "http://us:hun\N{ACCOUNT OF}ter2@p:1", "http://us:hunter2"])
def test_a_damaged_url_is_refused_without_a_piece_of_its_password(url: str):
    """The standard library would quote what it stumbled over: a host in brackets, the port, or all of it."""
    with pytest.raises(ValueError, match=r"^is not a proxy's URL$") as raised:
        parse_proxy(url)
    assert raised.value.__cause__ is None
    with pytest.raises(ValueError, match=r"^not an absolute http or https URL$"):
        parse_url(url)


@pytest.mark.usefixtures("no_leaks")
async def test_a_plain_request_goes_whole_to_the_proxy():
    """For http the proxy gets the whole URL and its credentials; the server gets the request, and the answer comes back."""
    async with FaultServer(answer(200, b"hello")) as server, Proxy(authorization=BASIC) as proxy:
        url = f"http://collector.test:{server.port}/v1/logs?x=1"
        response = await _send(url, env={"HTTP_PROXY": f"http://us%3Aer:hun%20ter2@{proxy.address}"})
        [request] = server.log.requests
    [asked] = proxy.asked
    assert (response.status, response.body, request.body, request.headers["x-one"]) == (200, b"hello", b"body", "1")
    assert (asked.method, asked.target, asked.headers["proxy-authorization"]) == ("POST", url, BASIC)
    assert asked.headers["host"] == f"collector.test:{server.port}"


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("secure", [False, True])
async def test_https_goes_through_a_tunnel(authority, trust: TlsOptions, secure: bool):
    """For https the proxy, itself over TLS or not, is asked to CONNECT and sees nothing of the request; server and name are verified."""
    own = _context(authority, "127.0.0.1") if secure else None
    async with (
        FaultServer(answer(200, b"hello"), answer(200), tls=_context(authority, "collector.test")) as server,
        Proxy(tls=own, authorization=BASIC) as proxy,
    ):
        client = HttpClient(tls=trust, proxies=chooser(f"{'https' if secure else 'http'}://us%3Aer:hun%20ter2@{proxy.address}"))
        url = f"https://collector.test:{server.port}/v1/logs"
        response = await client.send(Request("POST", url, {}, b"body"), deadline=LONG)
        again = await client.send(Request("POST", url, {}, b"body"), deadline=LONG)
        await client.close()
        assert server.log.connections == 1
        assert [request.headers.get("proxy-authorization") for request in server.log.requests] == [None, None]
    [asked] = proxy.asked
    assert (response.status, response.body, again.status) == (200, b"hello", 200)
    assert response.tls is not None
    assert (asked.method, asked.target) == ("CONNECT", f"collector.test:{server.port}")
    assert "x-one" not in asked.headers


@pytest.mark.usefixtures("no_leaks")
async def test_the_server_behind_a_tunnel_is_verified(authority, trust: TlsOptions):
    """A tunnel that ends at another server is an error of TLS, as without a proxy."""
    async with FaultServer(tls=_context(authority, "other.test")) as server, Proxy() as proxy:
        error = await _fails(f"https://collector.test:{server.port}/", f"http://{proxy.address}", trust)
    assert error.kind is ErrorKind.TLS
    assert "not trusted" in str(error)


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_asks_for_credentials(scheme: str):
    """A 407 is the proxy's: it is reported as such with the fix, never as the server's answer, with a tunnel or without."""
    async with Proxy(authorization=BASIC) as proxy:
        address = proxy.address
        error = await _fails(f"{scheme}://collector.test:1/", f"http://user:hunter2@{proxy.address}")
    assert (error.kind, error.status) == (ErrorKind.PROXY, None)
    assert str(error) == (
        f"the proxy http://{address} asks for other credentials (407 Proxy Authentication Required): give its URL user:password@"
    )
    assert "hunter2" not in str(error)


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "refuses to connect us (403 Forbidden)"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "refuses to connect us (502 Bad Gateway)"),
        (b"SSH-2.0-nothing\r\n\r\n", "no valid answer from the proxy"),
        (b"\r", "no valid answer from the proxy"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel(refusal: bytes, message: str):
    """Whatever a proxy answers instead of a tunnel is an error of the kind `proxy`, which keeps the data: no status of the server's."""
    async with Proxy(refusal=refusal) as proxy:
        error = await _fails("https://collector.test/", f"http://{proxy.address}")
    assert (error.kind, error.status) == (ErrorKind.PROXY, None)
    assert message in str(error)


@pytest.mark.usefixtures("no_leaks")
async def test_a_proxy_that_is_away():
    """If no proxy listens at its address, the error names the proxy, not the server."""
    async with Proxy() as proxy:
        address = proxy.address
    error = await _fails("https://collector.test/", f"http://{address}")
    assert error.kind is ErrorKind.PROXY
    assert str(error) == f"through the proxy http://{address}: can't connect to {address}: connection refused"


@pytest.mark.usefixtures("no_leaks")
async def test_a_hanging_proxy_ends_at_the_deadline():
    """A proxy that never answers delays a request up to its deadline only; a cancelled request leaves nothing behind."""
    async with FaultServer(HANG, HANG) as proxy:
        client = HttpClient(proxies=chooser(proxy.url))
        with pytest.raises(NetworkError, match=r"no answer within 0\.1 s, asking the proxy"):
            await client.send(Request("GET", "https://collector.test/"), deadline=0.1)
        task = asyncio.ensure_future(client.send(Request("GET", "https://collector.test/"), deadline=LONG))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
