from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import bcrypt
import pytest
import trustme

from agent.config.web_tls import TlsServer, server_context
from agent.net import access as access_module
from agent.net.access import AccessControl, Credentials, TokenBucket
from agent.net.http_server import HttpServer
from agent.net.server_message import ServerLimits, ServerRequest, ServerResponse
from tests.support.server_events import ServerEvents

if TYPE_CHECKING:
    from pathlib import Path

USERS = {
    name: bcrypt.hashpw(word.encode()[:72], bcrypt.gensalt(4)).decode() for name, word in (("alice", "wonder:land"), ("bob", "b" * 80))
}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "fits"),
    [
        (_basic("alice", "wonder:land"), True),
        (_basic("alice", "wonder:land").replace("Basic", "BASIC"), True),
        (_basic("alice", "wonder"), False),
        (_basic("alice", ""), False),
        (_basic("carol", "wonder:land"), False),
        (_basic("bob", "b" * 80), True),
        (_basic("alice", "\0"), False),
        ("Basic YWxpY2U=", False),
        ("Basic ???", False),
        ("Basic", False),
        ("", False),
        ("Bearer token-1", True),
        ("bearer  token-1 ", True),
        ("Bearer token-2", False),
        ("Bearer", False),
        ("Digest x", False),
    ],
)
async def test_credentials(authorization: str, fits: bool):
    """A user with the right password, or the token; nothing else, however it is written."""
    assert await Credentials(USERS, "token-1").fit(authorization) is fits


async def test_what_is_not_configured_fits_nobody():
    """Without users no password fits, without a token no token does, not even an empty one."""
    assert not await Credentials({}, "token-1").fit(_basic("", ""))
    assert not await Credentials(USERS, None).fit("Bearer ")


async def test_a_right_password_is_hashed_once(monkeypatch: pytest.MonkeyPatch):
    """The second request with it costs no bcrypt; a wrong one costs it each time, and so does an unknown user."""
    asked: list[bytes] = []
    real = access_module._bcrypt_fits
    monkeypatch.setattr(access_module, "_bcrypt_fits", lambda password, stored: (asked.append(password), real(password, stored))[1])
    credentials = Credentials(USERS, None)
    for _ in range(3):
        assert await credentials.fit(_basic("alice", "wonder:land"))
    assert asked == [b"wonder:land"]
    for user in ("alice", "alice", "nobody", "nobody"):
        assert not await credentials.fit(_basic(user, "wrong"))
    assert asked[1:] == [b"wrong"] * 4


async def test_the_memory_of_passwords_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """Only so many right passwords are remembered; who is forgotten is asked again and let in."""
    monkeypatch.setattr(access_module, "KNOWN", 1)
    credentials = Credentials(USERS, None)
    for _ in range(2):
        assert await credentials.fit(_basic("alice", "wonder:land"))
        assert await credentials.fit(_basic("bob", "b" * 80))
    assert len(credentials._right) == 1


def test_a_bucket_gives_a_burst_and_then_a_token_per_interval():
    """`burst` requests pass at once, then one every interval, and after a rest a burst at most; an interval of 0 sets no limit."""
    now = [100.0]
    bucket = TokenBucket(2.0, 3, lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] += 2
    assert [bucket.take(), bucket.take()] == [True, False]
    now[0] += 1000
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert all(TokenBucket(0, 0, lambda: 0.0).take() for _ in range(100))


def test_a_client_is_known_by_a_name_of_its_certificate():
    """With a list, one of the certificate's names must be in it; without, any verified certificate and none will do."""
    certificate = {"subjectAltName": (("DNS", "prometheus.test"), ("IP Address", "10.0.0.1"))}
    assert AccessControl(None, None, frozenset({"10.0.0.1"})).admits(certificate)
    assert not AccessControl(None, None, frozenset({"other.test"})).admits(certificate)
    assert not AccessControl(None, None, frozenset({"other.test"})).admits(None)
    assert AccessControl(None, None).admits(None)


# --- in a server ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def _issue(authority: trustme.CA, folder: Path, name: str) -> TlsServer:
    issued = authority.issue_cert("127.0.0.1", name, key_type=trustme.KeyType.ECDSA)
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return TlsServer(cert_file=folder / "cert.pem", key_file=folder / "key.pem")


@asynccontextmanager
async def _serving(access: AccessControl | None = None, tls: ssl.SSLContext | None = None, headers: tuple[tuple[str, str], ...] = ()):
    events = ServerEvents()

    async def page(_request: ServerRequest) -> ServerResponse:
        return ServerResponse(b"page\n")

    server = HttpServer({"GET /": page}, events, access=access, headers=headers)
    try:
        yield await server.listen("127.0.0.1", 0, tls), events.refused, server
    finally:
        await server.close()


async def _ask(port: int, context: ssl.SSLContext | None = None, *headers: str) -> tuple[int, str, dict | None]:
    """Status, head, and the server's certificate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1" if context else None)
    certificate = writer.get_extra_info("peercert")
    writer.write("\r\n".join(["GET / HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]).encode())
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[0], certificate


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_only_who_has_credentials_gets_a_page():
    """Without them the answer is 401 with a challenge, counted; with them it is the page."""
    async with _serving(AccessControl(Credentials(USERS, "token-1"), None)) as (port, refusals, _):
        status, head, _ = await _ask(port)
        assert status == 401
        assert 'www-authenticate: Basic realm="outrider", Bearer' in head
        assert (await _ask(port, None, "Authorization: " + _basic("alice", "wonder:land")))[0] == 200
        assert (await _ask(port, None, "Authorization: Bearer token-1"))[0] == 200
    assert refusals == ["unauthorized"]


async def test_guessers_keep_nobody_out_who_has_been_in(monkeypatch: pytest.MonkeyPatch):
    """However many connections send wrong passwords that take long to check, known clients are let in at once, and new ones are refused for now."""
    go, real = threading.Event(), access_module._bcrypt_fits
    gate = AccessControl(Credentials(USERS, None), None)
    async with _serving(gate) as (port, refusals, server):
        server.serving = replace(server.serving, limits=ServerLimits(connections=20))
        good = "Authorization: " + _basic("alice", "wonder:land")
        assert (await _ask(port, None, good))[0] == 200
        monkeypatch.setattr(access_module, "_bcrypt_fits", lambda *given: go.wait(20) and real(*given))
        writers = []
        try:
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: {_basic('alice', 'guess')}\r\n\r\n".encode())
                writers.append(writer)
                if len(writers) > access_module.QUEUE:
                    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 429")
            assert (await _ask(port, None, good))[0] == 200
        finally:
            go.set()
            for writer in writers:
                writer.close()
    assert set(refusals) <= {"passwords_queued", "crowded_out", "unauthorized"}


async def test_an_unknown_user_costs_as_much_as_the_dearest_known_one(monkeypatch: pytest.MonkeyPatch):
    """The time of a refusal does not tell whether there is such a user."""
    dear = bcrypt.hashpw(b"x", bcrypt.gensalt(6)).decode()
    compared: list[bytes] = []
    monkeypatch.setattr(access_module, "_bcrypt_fits", lambda _password, stored: (compared.append(stored), True)[1])
    assert not await Credentials({**USERS, "dear": dear}, None).fit(_basic("nobody", "x"))
    assert compared == [dear.encode()]


async def test_too_many_requests_are_told_so():
    """Over the rate the answer is 429, before any password is looked at."""
    async with _serving(AccessControl(Credentials(USERS, None), TokenBucket(1000.0, 1, lambda: 0.0))) as (port, refusals, _):
        assert [(await _ask(port))[0] for _ in range(2)] == [401, 429]
    assert refusals == ["unauthorized", "rate_limited"]


async def test_the_control_socket_has_no_gate(tmp_path: Path):
    """The pages over TCP are guarded, the same server's routes without a gate are not: what `outrider healthcheck` asks."""
    async with _serving(None) as (port, _, server):
        await server.listen_unix(tmp_path / "s")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert (await _ask(port))[0] == 200


async def test_headers_are_set_and_unset():
    """A configured header replaces ours, a blank one removes it, the others stay."""
    headers = (("strict-transport-security", "max-age=1"), ("content-security-policy", ""))
    async with _serving(headers=headers) as (port, _, _):
        _, head, _ = await _ask(port)
    assert "strict-transport-security: max-age=1" in head
    assert "content-security-policy" not in head
    assert "x-content-type-options: nosniff" in head


async def test_a_rotated_certificate_needs_no_restart(authority: trustme.CA, tmp_path: Path):
    """A new certificate is used from the next connection on; while its files are damaged, the former one is."""
    context = server_context(_issue(authority, tmp_path, "one.test"))
    async with _serving(None, context) as (port, _, _):
        seen = []
        for change in (None, lambda: _issue(authority, tmp_path, "two.test"), lambda: (tmp_path / "key.pem").write_text("damaged")):
            if change:
                change()
            status, _, certificate = await _ask(port, _trusting(authority))
            assert status == 200
            seen.append(next(value for kind, value in certificate["subjectAltName"] if kind == "DNS"))
    assert seen == ["one.test", "two.test", "two.test"]


async def test_a_client_without_the_right_certificate_gets_nothing(authority: trustme.CA, tmp_path: Path):
    """With client certificates required, none is refused in the handshake, and a verified one of another name after it."""
    options = _issue(authority, tmp_path, "server.test").model_dump()
    config = TlsServer(**{**options, "client_ca_file": tmp_path / "ca.pem", "client_auth_type": "RequireAndVerifyClientCert"})
    async with _serving(AccessControl(None, None, frozenset({"good.test"})), server_context(config)) as (port, refusals, _):
        good, other, none = (_trusting(authority) for _ in range(3))
        authority.issue_cert("good.test").configure_cert(good)
        authority.issue_cert("other.test").configure_cert(other)
        assert (await _ask(port, good))[0] == 200
        for context in (other, none):
            with pytest.raises((OSError, IndexError)):  # cut off: reset, or an end without an answer
                await _ask(port, context)
    assert refusals == ["client_certificate"]


async def test_plain_http_to_a_tls_listener_gets_nothing(authority: trustme.CA, tmp_path: Path):
    """A client that does not speak TLS is cut off, and the next one is served."""
    async with _serving(None, server_context(_issue(authority, tmp_path, "one.test"))) as (port, _, _):
        with pytest.raises((OSError, IndexError)):
            await _ask(port)
        assert (await _ask(port, _trusting(authority)))[0] == 200


async def test_versions_and_ciphers_hold(authority: trustme.CA, tmp_path: Path):
    """`max_version` and `cipher_suites` decide what is agreed."""
    options = _issue(authority, tmp_path, "one.test").model_dump()
    config = TlsServer(**{**options, "max_version": "TLS12", "cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]})
    async with _serving(None, server_context(config)) as (port, _, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=_trusting(authority))
        agreed = writer.get_extra_info("cipher")
        writer.close()
    assert agreed[:2] == ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2")
