"""Asking a running agent: plain HTTP over the Unix socket in its state directory. The client half; the routes are in `runtime.py`."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOCKET: Final = "outrider.sock"
"""The socket's name in the state directory; mode 0600, so only the agent's own user (and root) may ask."""

LONGEST_PATH: Final = 107
"""Bytes of a socket's path that Linux takes (unix(7), sun_path)."""


class NotRunningError(Exception):
    """No agent answers in this state directory."""


def socket_path(state_dir: Path) -> Path:
    """Where the agent of this state directory listens; a short name in /proc/self/cwd's stead is the caller's business."""
    return state_dir / SOCKET


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("outrider", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(state_dir: Path, path: str, *, method: str = "GET", timeout: float | None = 10.0) -> http.client.HTTPResponse:
    """Send one request and return the open response; raise `NotRunningError` when nobody listens."""
    connection = _UnixConnection(socket_path(state_dir), timeout)
    try:
        connection.request(method, path, headers={"Accept": "application/json"})
        return connection.getresponse()
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunningError(f"no agent is running on {state_dir}") from error


def ask_json(state_dir: Path, path: str, *, method: str = "GET") -> object:
    """One request whose answer is one JSON value."""
    with ask(state_dir, path, method=method) as response:
        return json.loads(response.read())


def stream_lines(state_dir: Path, path: str) -> Iterator[bytes]:
    """One request whose answer is lines, as they come."""
    with ask(state_dir, path, timeout=None) as response:
        yield from response
