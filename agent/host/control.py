"""Requests to a running agent: plain HTTP over the Unix socket in its state directory. The client half; the routes are in `server/endpoints.py`."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from agent.errors import NoInputError, OutriderError, UnavailableError
from agent.spool.paths import SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PATIENCE: Final = 10.0
"""Seconds that a whole answer may take."""


class NotRunningError(Exception):
    """No agent answers in this state directory."""


def socket_path(state_dir: Path) -> Path:
    """The path of the socket in this state directory."""
    return state_dir / SOCKET


class _Socket(socket.socket):
    """A Unix socket with one deadline, `end` (monotonic), for the whole conversation. Single bytes now and then do not extend it."""

    end: float | None = None

    def recv_into(self, *args: Any, **options: Any) -> int:
        """As of any socket."""
        if self.end is not None:
            self.settimeout(max(self.end - time.monotonic(), 0.001))
        return super().recv_into(*args, **options)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("outrider", timeout=timeout)
        self._path = path
        self._socket = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._socket.end = time.monotonic() + timeout

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = self._socket
        if self._path.is_symlink():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "a link is not followed", str(self._path))
        directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        try:  # by the directory's number, for `sockaddr_un` holds 107 bytes (unix(7)) and state directories can be deep
            self._socket.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)

    def wait_for_ever(self) -> None:
        """Wait without a limit for what follows."""
        self._socket.end = None
        self._socket.settimeout(None)

    def close(self) -> None:
        """Also where it was never connected."""
        super().close()
        self._socket.close()


@contextlib.contextmanager
def _connected(state_dir: Path, timeout: float) -> Iterator[_UnixConnection]:
    """A connection; an error names why there is none: no process listens, it hangs, or it belongs to another user."""
    try:
        with contextlib.closing(_UnixConnection(socket_path(state_dir), timeout)) as connection:
            yield connection
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NotRunningError(f"no agent is running on {state_dir}") from error
    except TimeoutError as error:
        raise UnavailableError(f"the agent on {state_dir} does not answer within {timeout:g} s: it is hung, or stopped") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"the agent on {state_dir} can't be asked: {_reason(error)}") from error
    except ValueError as error:
        raise UnavailableError(f"the process that listens on {socket_path(state_dir)} is not an outrider agent: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead | http.client.RemoteDisconnected | ConnectionError):
        return "it broke the connection off"
    text = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"it answers no HTTP ({text})" if isinstance(error, http.client.HTTPException) else text


def ask_json(state_dir: Path, path: str, *, method: str = "GET", timeout: float | None = None) -> object:
    """One request whose answer is one JSON value.

    NotRunningError: no process listens. UnavailableError: the one that does hangs, or is not an agent. OutriderError with the agent's own words: it refuses.
    """
    with _connected(state_dir, timeout or PATIENCE) as connection:
        response = _ask(connection, method, path)
        body = response.read()
        if response.status in (http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE):  # `/readyz` says so, and why
            return json.loads(body)
    raise _refusal(response.status, body)


def ask_bytes(state_dir: Path, path: str, *, timeout: float | None = None) -> bytes:
    """One request whose answer is bytes; errors as of `ask_json`."""
    with _connected(state_dir, timeout or PATIENCE) as connection:
        response = _ask(connection, "GET", path)
        body = response.read()
        if response.status == http.HTTPStatus.OK:
            return body
    raise _refusal(response.status, body)


def stream_lines(state_dir: Path, path: str, *, timeout: float | None = None) -> Iterator[bytes]:
    """One request whose answer is lines, as they come: only their beginning is waited for no longer than `timeout`.

    Errors as of `ask_json`.
    """
    with _connected(state_dir, timeout or PATIENCE) as connection:
        response = _ask(connection, "GET", path)
        if response.status == http.HTTPStatus.OK:
            connection.wait_for_ever()
            yield from _lines(response)
            return
        body = response.read()
    raise _refusal(response.status, body)


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Its lines; IncompleteRead if it breaks off, which iterating over it does not tell."""
    rest = b""
    while chunk := response.read1(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if response.length:
        raise http.client.IncompleteRead(rest, response.length)


def _ask(connection: _UnixConnection, method: str, path: str) -> http.client.HTTPResponse:
    connection.request(method, path, headers={"Accept": "application/json"})
    return connection.getresponse()


def _refusal(status: int, body: bytes) -> OutriderError:
    words = body.decode(errors="replace").strip()[:500]
    if status == http.HTTPStatus.BAD_REQUEST:
        return NoInputError(words)
    return OutriderError(words if status == http.HTTPStatus.CONFLICT else f"the agent answers with status {status}: {words}")
