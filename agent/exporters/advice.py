"""Hints for the user when a destination can't be reached or refuses: a few words after the reason. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.net.errors import ErrorKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.net.errors import NetworkError

_BY_KIND: Final[Mapping[ErrorKind, str]] = {
    ErrorKind.RESOLVE: "check the host's name, and that it can be resolved here",
    ErrorKind.CONNECT: "start the server, or check host and port",
    ErrorKind.TIMEOUT: "check host and port, and any firewall or proxy in between",
    ErrorKind.PROXY: "check the proxy's URL (proxy_url, or HTTPS_PROXY and HTTP_PROXY)",
    ErrorKind.RESET: "check the port; if it is for TLS, write https://",
}


def of_failure(error: NetworkError, url: str) -> str:
    """Return the hint for a URL without a complete answer; "" if there is none."""
    if error.status is not None or (error.kind is ErrorKind.RESET and not url.startswith("http://")):
        return ""
    return _BY_KIND.get(error.kind, "")


def of_status(status: int, credentials: str, address: str) -> str:
    """Return the hint for an HTTP status, "" if there is none; `credentials` and `address` name the options to check."""
    if status in (401, 403):
        return f"check {credentials}"
    if status in (404, 405, 406, 410, 411, 415, 421, 426, 501, 505):
        return f"check {address}"
    return "check the account's plan and quota" if status == 402 else ""


def advised(message: str, advice: str) -> str:
    """Join a reason and its hint."""
    return f"{message}; {advice}" if advice else message
