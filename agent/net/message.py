"""What goes in and out of the HTTP client: plain values, without I/O."""

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


class HttpError(NetworkError):
    """No complete answer came."""

    def __init__(self, kind: ErrorKind, message: str, *, status: int | None = None) -> None:
        """`status` is set if the head of an answer had arrived: what failed then is only its body."""
        super().__init__(kind, message)
        self.status = status


class ForeignError(HttpError):
    """Another protocol than HTTP/1 answered."""

    def __init__(self, speaks: str, remedy: str) -> None:
        super().__init__(ErrorKind.PROTOCOL, f"the server answers in {speaks}, not in HTTP/1{remedy}")
        self.speaks = speaks
        """`HTTP/2`, `TLS`, `SSH` …"""


def foreign(first: bytes) -> ForeignError | None:
    """The error of an answer that begins with these bytes, if it is one of another protocol that we know."""
    if first[3:5] == b"\x04\x00" and first[5:9] == b"\0\0\0\0":  # a SETTINGS frame (RFC 9113 section 3.4)
        return ForeignError("HTTP/2", "")
    if first[:2] == b"\x15\x03":  # an alert (RFC 8446 section 6)
        return ForeignError("TLS", ": write https://")
    word = next((name for prefix, name in _GREETINGS if first.startswith(prefix)), "")
    return ForeignError(word, ": check host and port") if word else None


_GREETINGS: Final = ((b"SSH-", "SSH"), (b"220 ", "SMTP or FTP"), (b"-ERR", "Redis"), (b"+OK", "Redis or POP3"), (b"* OK", "IMAP"))
"""The first bytes of servers of other protocols."""


class Target(NamedTuple):
    """An http(s) URL, taken apart."""

    secure: bool
    host: str
    """As the resolver and TLS want it: ASCII, without brackets."""
    port: int
    path: str
    """Path and query as sent; never empty."""
    authorization: str | None
    """`Basic …` if the URL carries a user; never shown."""

    @property
    def authority(self) -> str:
        """The `Host` header: the port only if it is not the scheme's own (RFC 9110 section 7.2)."""
        default = DEFAULT_PORTS["https" if self.secure else "http"]
        return bracketed(self.host) if self.port == default else self.full_authority

    @property
    def full_authority(self) -> str:
        """With the port in any case: what a proxy is asked to connect to."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What a kept connection may be used again for."""
        return self.secure, self.host, self.port


def parse_target(url: str) -> Target:
    """Take a URL apart; ValueError (without the URL in it, which may hold a password) if it is not an http(s) URL.

    Other characters than ASCII in path and query are percent-encoded as UTF-8, as browsers and curl do (RFC 3987 section 3.1).
    """
    try:
        parts = urlsplit(url)
        written = parts.port
    except ValueError:
        raise ValueError("not an absolute http or https URL") from None  # urllib's words have pieces of it, and it may hold a password
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    port = DEFAULT_PORTS[parts.scheme] if written is None else written
    path = "".join(c if c.isascii() else quote(c) for c in (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    if any(character <= " " or character == "\x7f" for character in path):
        raise ValueError("the path holds characters that must be percent-encoded")
    return Target(parts.scheme == "https", _ascii(parts.hostname), port, path, basic(parts.username, parts.password))


def _ascii(host: str) -> str:
    """A host's name as the resolver takes it (IDNA 2003, RFC 3490); ValueError if it can't be one."""
    try:
        return host if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        raise ValueError("the host is not a valid name: each part between dots has 1 to 63 characters") from None


def basic(user: str | None, password: str | None) -> str | None:
    """The Basic credentials (RFC 7617) of a URL's percent-encoded user and password, if it has any."""
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `Host`, `Content-Length`, `User-Agent` and `Connection` are the client's business."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer."""

    status: int
    headers: Sequence[tuple[str, str]]
    """Names in lower case, in the order they came; latin-1."""
    body: bytes
    """Without transfer and content coding."""
    phases: Phases
    tls: TlsInfo | None
    peer: str
    """The address that answered."""
    http_version: str
    """`1.0` or `1.1`."""

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)


def shown_location(location: str) -> str:
    """A redirect's `Location`, fit for a sentence: without query, fragment, path parameters (`;jsessionid=…`) and credentials, which are often secret."""
    place, query, _ = location.partition("#")[0].partition("?")
    with contextlib.suppress(UnicodeError):  # if it is not UTF-8 it stays what HTTP takes it for
        place = place.encode("latin-1").decode()
    place = _PATH_PARAMETER.sub(";…", "".join(character if character.isprintable() else " " for character in place))
    plain = mask_url(place)
    return (plain if len(plain) <= LONGEST_LOCATION else f"{plain[:LONGEST_LOCATION]}…") + ("?…" if query else "")
