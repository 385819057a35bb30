"""Requests and answers of the HTTP client, and its decisions about them. No I/O."""

from __future__ import annotations

import base64
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from agent.net.addresses import bracketed
from agent.net.errors import ErrorKind, NetworkError
from agent.options import mask_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.net.progress import Phases
    from agent.net.tls import TlsInfo

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
LONGEST_LOCATION: Final = 200
"""Characters of a redirect's location that a message shows."""
_PATH_PARAMETER: Final = re.compile(r";[^/]*")


class ForeignError(NetworkError):
    """The server answered in another protocol than HTTP/1."""

    def __init__(self, speaks: str, remedy: str) -> None:
        super().__init__(ErrorKind.PROTOCOL, f"the server answers in {speaks}, not in HTTP/1{remedy}")
        self.speaks = speaks
        """`HTTP/2`, `TLS`, `SSH` …"""


def foreign(first: bytes) -> ForeignError | None:
    """Return the error for an answer that begins with these bytes, if they belong to a known other protocol."""
    if first[3:5] == b"\x04\x00" and first[5:9] == b"\0\0\0\0":  # a SETTINGS frame (RFC 9113 section 3.4)
        return ForeignError("HTTP/2", "")
    if first[:2] == b"\x15\x03":  # an alert (RFC 8446 section 6)
        return ForeignError("TLS", ": write https://")
    word = next((name for prefix, name in _GREETINGS if first.startswith(prefix)), "")
    return ForeignError(word, ": check host and port") if word else None


_GREETINGS: Final = ((b"SSH-", "SSH"), (b"220 ", "SMTP or FTP"), (b"-ERR", "Redis"), (b"+OK", "Redis or POP3"), (b"* OK", "IMAP"))
"""The first bytes of servers of other protocols."""


class ParsedUrl(NamedTuple):
    """The parts of an http(s) URL."""

    secure: bool
    host: str
    """ASCII, without brackets, as the resolver and TLS take it."""
    port: int
    path: str
    """Path and query as sent; never empty."""
    authorization: str | None
    """`Basic …` if the URL carries a user; never shown."""

    @property
    def authority(self) -> str:
        """The `Host` header: with the port only if it is not the scheme's default (RFC 9110 section 7.2)."""
        default = DEFAULT_PORTS["https" if self.secure else "http"]
        return bracketed(self.host) if self.port == default else self.full_authority

    @property
    def full_authority(self) -> str:
        """The host with its port, for a proxy to connect to."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def origin(self) -> tuple[bool, str, int]:
        """The key of a kept connection."""
        return self.secure, self.host, self.port


def parse_url(url: str) -> ParsedUrl:
    """Split a URL; ValueError if it is not an http(s) URL (without the URL in its message: it may hold a password).

    Other characters than ASCII in path and query are percent-encoded as UTF-8, as browsers and curl do (RFC 3987 section 3.1).
    """
    try:
        parts = urlsplit(url)
        written = parts.port
    except ValueError:
        raise ValueError(
            "not an absolute http or https URL"
        ) from None  # urllib's message shows parts of the URL, which may hold a password
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    port = DEFAULT_PORTS[parts.scheme] if written is None else written
    path = "".join(c if c.isascii() else quote(c) for c in (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    if any(character <= " " or character == "\x7f" for character in path):
        raise ValueError("the path holds characters that must be percent-encoded")
    return ParsedUrl(parts.scheme == "https", _ascii(parts.hostname), port, path, basic(parts.username, parts.password))


def _ascii(host: str) -> str:
    """Return a host's name as the resolver takes it (IDNA 2003, RFC 3490); ValueError if it is not a valid name."""
    try:
        return host if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        raise ValueError("the host is not a valid name: each part between dots has 1 to 63 characters") from None


def basic(user: str | None, password: str | None) -> str | None:
    """Return the Basic credentials (RFC 7617) for a URL's percent-encoded user and password, if it has any."""
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. The client adds `Host`, `Content-Length`, `User-Agent` and `Connection`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer."""

    status: int
    headers: Sequence[tuple[str, str]]
    """Names in lower case, in the order in which they arrived; latin-1."""
    body: bytes
    """Without transfer and content coding."""
    phases: Phases
    tls: TlsInfo | None
    peer: str
    """The address that answered."""
    http_version: str
    """`1.0` or `1.1`."""

    def header(self, name: str) -> str | None:
        """Return the first header of that (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)


def shown_location(location: str) -> str:
    """Return a redirect's `Location` for a message: without query, fragment, path parameters (`;jsessionid=…`) and credentials, which may be secret."""
    place, query, _ = location.partition("#")[0].partition("?")
    with contextlib.suppress(UnicodeError):  # if it is not UTF-8 it stays latin-1
        place = place.encode("latin-1").decode()
    place = _PATH_PARAMETER.sub(";…", "".join(character if character.isprintable() else " " for character in place))
    plain = mask_url(place)
    return (plain if len(plain) <= LONGEST_LOCATION else f"{plain[:LONGEST_LOCATION]}…") + ("?…" if query else "")
