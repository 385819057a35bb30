"""Failures between the agent and a server, independent of the protocol."""

from __future__ import annotations

from enum import StrEnum

from agent.errors import OutriderError


class ErrorKind(StrEnum):
    """The step that failed: bounded, so it may be a metric's label."""

    PROXY = "proxy"
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    PROTOCOL = "protocol"
    BODY_TOO_LARGE = "body_too_large"


class NetworkError(OutriderError):
    """A server could not be reached or understood. The message holds no credentials."""

    def __init__(self, kind: ErrorKind, message: str, *, status: int | None = None) -> None:
        """`status` is set if the head of an HTTP answer arrived, so that only its body failed."""
        super().__init__(message)
        self.kind = kind
        self.status = status
