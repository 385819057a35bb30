from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest

from agent.net import dial as dial_module
from agent.net import resolver as module
from agent.net.connection import RECEIVE_LIMIT, Connection
from agent.net.dial import Dialer, first_to_answer
from agent.net.errors import ErrorKind, NetworkError
from agent.net.progress import Progress
from agent.net.resolver import Address, Resolver, alternate, literal_address
from agent.net.tls import TlsOptions

V4, V6 = socket.AF_INET, socket.AF_INET6


def _v4(host: str, port: int = 80) -> Address:
    return Address(V4, (host, port))


def _v6(host: str, port: int = 80) -> Address:
    return Address(V6, (host, port, 0, 0))


def test_families_take_turns():
    """Addresses alternate between the families, the resolver's first choice first, each once."""
    found = [_v6("a"), _v6("b"), _v6("c"), _v4("1"), _v4("1"), _v4("2")]
    assert alternate(found) == [_v6("a"), _v4("1"), _v6("b"), _v4("2"), _v6("c")]
    assert alternate([]) == []


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", V4), ("::1", V6)])
def test_literal_addresses_need_no_resolver(host, family):
    """An IP address is taken as it is."""
    address = literal_address(host, 80)
    assert address is not None
    assert address.family == family
    assert literal_address("localhost", 80) is None


async def test_names_are_resolved(monkeypatch):
    """A name gives its addresses, with the port."""
    infos = [(V4, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 99)), (V6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 99, 0, 0))]
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_args, **_options: infos)
    assert await Resolver().resolve("name.test", 99) == [_v4("192.0.2.1", 99), _v6("2001:db8::1", 99)]


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
        UnicodeError("label too long"),
    ],
)
async def test_names_that_do_not_resolve_are_an_error(monkeypatch, error):
    """NXDOMAIN, a name server in trouble and an impossible name are NetworkErrors of the kind `resolve`."""

    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(module.socket, "getaddrinfo", fail)
    with pytest.raises(NetworkError, match=r"can't resolve name\.test") as raised:
        await Resolver().resolve("name.test", 99)
    assert raised.value.kind is ErrorKind.RESOLVE


async def test_a_hanging_resolver_delays_nobody_and_is_asked_once(monkeypatch):
    """While the name server is silent the caller can give up, and asking again does not pile up threads; its late answer is used."""
    release, asked = threading.Event(), []

    def hang(*args, **_options):
        asked.append(args)
        release.wait(10)
        return [(V4, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 99))]

    monkeypatch.setattr(module.socket, "getaddrinfo", hang)
    resolver = Resolver()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(resolver.resolve("name.test", 99), 0.02)
    last = asyncio.ensure_future(resolver.resolve("name.test", 99))
    await asyncio.sleep(0)
    release.set()
    assert await last == [_v4("192.0.2.1", 99)]
    assert len(asked) == 1


async def test_without_a_thread_the_name_is_asked_for_later(monkeypatch):
    """Where no thread can be had, that is an error like any other, and the next try may succeed."""
    real = module.threading.Thread

    def refuse(*_args, **_options):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module.threading, "Thread", refuse)
    resolver = Resolver()
    with pytest.raises(NetworkError, match="can't start new thread") as raised:
        await resolver.resolve("name.test", 99)
    assert raised.value.kind is ErrorKind.RESOLVE
    monkeypatch.setattr(module.threading, "Thread", real)
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_a, **_o: [(V4, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 99))])
    assert await resolver.resolve("name.test", 99) == [_v4("192.0.2.1", 99)]


async def test_nothing_is_cached(monkeypatch):
    """A new question is asked for each new connection: addresses change."""
    answers = iter(["192.0.2.1", "192.0.2.2"])
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_a, **_o: [(V4, socket.SOCK_STREAM, 6, "", (next(answers), 99))])
    resolver = Resolver()
    assert await resolver.resolve("name.test", 99) != await resolver.resolve("name.test", 99)


@pytest.fixture
def attempts(monkeypatch):
    """Replaces connecting by a table: address → a result, an error, or None to hang."""
    table: dict[Address, object] = {}
    tried: list[Address] = []

    async def fake(address):
        tried.append(address)
        outcome = table[address]
        if outcome is None:
            await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(dial_module, "connect_one", fake)
    monkeypatch.setattr(dial_module, "EYEBALLS_DELAY", 0.01)
    return table, tried


async def test_the_next_address_follows_a_failure_at_once(attempts):
    """A refused address costs no waiting."""
    table, tried = attempts
    with socket.socket() as won:
        table.update({_v6("a"): ConnectionRefusedError(111, "Connection refused"), _v4("1"): won})
        assert await first_to_answer([_v6("a"), _v4("1")]) == (won, _v4("1"))
    assert tried == [_v6("a"), _v4("1")]


async def test_a_black_hole_is_passed_by(attempts):
    """An address that does not answer (IPv6 that leads nowhere) is overtaken by the next one."""
    table, _ = attempts
    with socket.socket() as won:
        table.update({_v6("a"): None, _v4("1"): won})
        assert await first_to_answer([_v6("a"), _v4("1")]) == (won, _v4("1"))


async def test_the_first_address_wins_if_it_answers(attempts):
    """No second connection is made without need."""
    table, tried = attempts
    with socket.socket() as won:
        table.update({_v6("a"): won, _v4("1"): None})
        await first_to_answer([_v6("a"), _v4("1")])
    assert tried == [_v6("a")]


async def test_a_late_second_winner_is_closed(attempts, monkeypatch):
    """If two addresses answer at once, one socket is used and the other is closed."""
    gate, table = asyncio.Event(), {_v6("a"): socket.socket(), _v4("1"): socket.socket()}

    async def both(address):
        await gate.wait()
        return table[address]

    monkeypatch.setattr(dial_module, "connect_one", both)
    task = asyncio.ensure_future(first_to_answer([_v6("a"), _v4("1")]))
    await asyncio.sleep(0.05)
    gate.set()
    won, address = await task
    [lost] = [sock for other, sock in table.items() if other != address]
    assert (won.fileno() != -1, lost.fileno()) == (True, -1)
    won.close()


async def test_all_failures_are_told(attempts):
    """When no address answers, the error names each and why."""
    table, _ = attempts
    table.update({_v6("a"): ConnectionRefusedError(111, "Connection refused"), _v4("1"): OSError(113, "No route to host")})
    with pytest.raises(NetworkError, match=r"\[a\]:80: connection refused; 1:80: no route to host") as raised:
        await first_to_answer([_v6("a"), _v4("1")])
    assert raised.value.kind is ErrorKind.CONNECT


class _Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.paused = False

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


async def test_what_came_before_a_reset_is_handed_out_first():
    """The bytes that arrived before the connection broke are read; only then the error is raised."""
    connection = Connection()
    connection.connection_made(_Transport())
    connection.data_received(b"HTTP/1.1 413")
    connection.connection_lost(ConnectionResetError(104, "reset"))
    assert await connection.receive() == b"HTTP/1.1 413"
    with pytest.raises(ConnectionResetError):
        await connection.receive()


async def test_a_flood_is_held_back():
    """While too much lies unread the peer has to wait, and goes on once it is read."""
    connection, transport = Connection(), _Transport()
    connection.connection_made(transport)
    connection.data_received(bytes(RECEIVE_LIMIT + 1))
    assert transport.paused
    await connection.receive()
    assert not transport.paused


async def test_receiving_can_be_cancelled():
    """A cancelled wait for data leaves the connection usable."""
    connection = Connection()
    connection.connection_made(_Transport())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection.receive(), 0.01)
    connection.data_received(b"x")
    assert await connection.receive() == b"x"
    connection.eof_received()
    assert await connection.receive() == b""


async def test_the_dot_of_a_complete_name_is_not_in_its_certificate(authority, tmp_path, monkeypatch):
    """`db.example.` saves the resolver its search list, and the certificate is made for `db.example`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("db.example").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    asked = []
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *_args, **_kw: asked.append(host) or [(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]
    )
    try:
        connection = await Dialer(tls=TlsOptions(ca_file=tmp_path / "ca.pem")).dial("db.example.", port, Progress(), secure=True)
        connection.abort()
    finally:
        server.close()
        await server.wait_closed()
    assert (connection.tls.version, asked) == ("TLSv1.3", ["db.example."])


@pytest.mark.parametrize(("offered", "agreed"), [((), None), (("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "h2")])
async def test_a_protocol_is_agreed_on_only_if_it_is_offered(authority, tmp_path, offered, agreed):
    """The protocols of ALPN are the client's choice: an HTTP client offers HTTP, a probe of an unknown server none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    progress = Progress()
    connection = await Dialer(tls=TlsOptions(ca_file=tmp_path / "ca.pem"), alpn=offered).dial(
        "localhost", server.sockets[0].getsockname()[1], progress, secure=True
    )
    chosen = connection.transport.get_extra_info("ssl_object").selected_alpn_protocol()
    connection.abort()
    server.close()
    await server.wait_closed()
    assert chosen == agreed
    assert (connection.tls.version, progress.ip_version, connection.peer.startswith("127.0.0.1:")) == ("TLSv1.3", 4, True)
    assert min(progress.phases.resolve, progress.phases.connect, progress.phases.tls) > 0
