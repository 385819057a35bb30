"""Asking a running agent: plain HTTP over the Unix socket in its state directory. The client half; the routes are in `runtime.py`."""

from __future__ import annotations

import http.client
import json
import os
import socket
from typing import TYPE_CHECKING

from agent.errors import OutriderError
from agent.server.messages import SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NotRunningError(Exception):
    """No agent answers in this state directory."""


def socket_path(state_dir: Path) -> Path:
    """Where the agent of this state directory listens."""
    return state_dir / SOCKET


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("outrider", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        try:  # by the directory's number, for `sockaddr_un` holds 107 bytes (unix(7)) and state directories can be deep
            self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)


def ask(state_dir: Path, path: str, *, method: str = "GET", timeout: float | None = 10.0) -> http.client.HTTPResponse:
    """Send one request and return the open response; raise `NotRunningError` when nobody listens."""
    connection = _UnixConnection(socket_path(state_dir), timeout)
    try:
        connection.request(method, path, headers={"Accept": "application/json", "Connection": "close"})
        return connection.getresponse()
    except OSError as error:
        connection.close()
        if not isinstance(error, FileNotFoundError | ConnectionRefusedError):
            raise
        raise NotRunningError(f"no agent is running on {state_dir}") from error


def ask_json(state_dir: Path, path: str, *, method: str = "GET") -> object:
    """One request whose answer is one JSON value. Raises OutriderError with the agent's own words when it refuses."""
    with ask(state_dir, path, method=method) as response:
        body = response.read()
        if response.status == http.HTTPStatus.BAD_REQUEST:
            raise OutriderError(body.decode(errors="replace").strip())
        return json.loads(body)


def stream_lines(state_dir: Path, path: str) -> Iterator[bytes]:
    """One request whose answer is lines, as they come. Raises OutriderError with the agent's own words when it refuses."""
    response = ask(state_dir, path, timeout=None)
    if response.status != http.HTTPStatus.OK:
        raise OutriderError(response.read().decode(errors="replace").strip())
    return iter(response)
