"""Asking the agent of a state directory, over real sockets: none listens, it hangs, or it belongs to another user."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.errors import OutriderError, UnavailableError
from agent.host import control
from agent.host.control import NotRunningError, ask_json, socket_path, stream_lines


class Listener:
    """Listens in a directory and answers every connection with the same pieces; then it closes it, or hangs."""

    def __init__(self, directory, *pieces, pause=0.0, hang=False):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(socket_path(directory)))
        self._socket.listen()
        self._pieces, self._pause, self._hang = pieces, pause, hang
        self._held = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._answer(connection)

    def _answer(self, connection):
        with contextlib.suppress(OSError):
            connection.recv(65536)
            for piece in self._pieces:
                connection.sendall(piece)
                time.sleep(self._pause)
        if self._hang:
            self._held.append(connection)
        else:
            connection.close()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        for one in (self._socket, *self._held):
            one.close()


@pytest.fixture
def listen(tmp_path):
    """Makes one listener in tmp_path."""
    with contextlib.ExitStack() as stack:
        yield lambda *pieces, **how: stack.enter_context(contextlib.closing(Listener(tmp_path, *pieces, **how)))


def http(body, status="200 OK", **headers):
    """A response."""
    named = {"Content-Length": len(body), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def test_nobody_listens(tmp_path):
    """No directory, no socket, a file in the directory's place, and a socket that was left behind mean the same."""
    (tmp_path / "file").touch()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(socket_path(tmp_path)))
    left.close()

    for directory in (tmp_path / "none", tmp_path / "file", tmp_path):
        with pytest.raises(NotRunningError, match=str(directory)):
            ask_json(directory, "/status.json")


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (http(b"{", **{"Content-Length": 100}),)])
def test_a_hung_agent_is_told_in_bounded_time(tmp_path, listen, pieces):
    """It accepts and does not answer, or stops half-way."""
    listen(*pieces, hang=True)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"does not answer within 0\.2 s"):
        ask_json(tmp_path, "/status.json", timeout=0.2)
    assert time.monotonic() - began < 2


def test_one_that_drips_is_hung_as_well(tmp_path, listen):
    """The time is for the whole answer, not for each byte of it."""
    listen(http(b"", **{"Content-Length": 100}), *[b" "] * 60, pause=0.05)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="does not answer"):
        ask_json(tmp_path, "/status.json", timeout=0.3)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"+PONG\r\n", "answers no HTTP"),
        (b"", "broke the connection off"),
        (http(b"{}", **{"Content-Length": 100}), "broke the connection off"),
        (http(b"hello"), "is not an outrider agent"),
        (http(b"not found", "404 Not Found"), "status 404: not found"),
        (http(b"no signal 'x'", "400 Bad Request"), "^no signal 'x'$"),
    ],
)
def test_a_foreign_listener_is_reported(tmp_path, listen, answer, words):
    """Whatever it says, there is one clear sentence, and no traceback."""
    listen(answer)
    with pytest.raises(OutriderError, match=words):
        ask_json(tmp_path, "/status.json", timeout=2)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\none\ntw\r\n2\r\no\n\r\n"


def test_lines_come_as_they_are(tmp_path, listen):
    """However they are cut on their way."""
    listen(CHUNKED + b"0\r\n\r\n")
    assert list(stream_lines(tmp_path, "/logs")) == [b"one\n", b"two\n"]


@pytest.mark.parametrize("answer", [CHUNKED, http(b"one\ntwo\n", **{"Content-Length": 100})])
def test_an_agent_that_dies_is_told_after_the_lines_that_came(tmp_path, listen, answer):
    """Answers that came before are shown, but not taken for all."""
    listen(answer)
    lines = stream_lines(tmp_path, "/logs")
    assert [next(lines), next(lines)] == [b"one\n", b"two\n"]
    with pytest.raises(UnavailableError, match="broke the connection off"):
        next(lines)


BROKEN = http(b"{}", "500 Internal Server Error")
ASKING = ("status", "logs", "healthcheck", "spool stat")


@pytest.mark.parametrize("command", ASKING)
@pytest.mark.parametrize(("answer", "code"), [(b"+PONG\r\n", 69), (http(b"[1]\n"), 69), (BROKEN, 70), (None, 69)])
def test_commands_say_it_in_one_line_with_their_code(tmp_path, listen, monkeypatch, command, answer, code):  # noqa: PLR0917 - fixtures
    """69 (EX_UNAVAILABLE), 70 (EX_SOFTWARE) for a fault of the agent's, and 1 for the health check, which knows no other."""
    monkeypatch.setattr(control, "PATIENCE", 0.1)
    if (answer, command) == (http(b"[1]\n"), "spool stat"):
        pytest.skip("it would show an empty list")
    listen(*([] if answer is None else [answer]), hang=answer is None)
    result = CliRunner().invoke(cli, [*command.split(), "--state-dir", str(tmp_path)])

    assert (result.exit_code, isinstance(result.exception, SystemExit)) == (1 if command == "healthcheck" else code, True)
    assert result.output.strip()


def test_a_link_in_the_socket_s_place_is_not_followed(tmp_path, listen):
    """A planted link would have the command talk to another process."""
    listen(http(b'"planted"'))
    elsewhere = tmp_path / "state"
    elsewhere.mkdir()
    socket_path(elsewhere).symlink_to(socket_path(tmp_path))
    assert ask_json(tmp_path, "/status.json") == "planted"
    with pytest.raises(NotRunningError):
        ask_json(elsewhere, "/status.json")
