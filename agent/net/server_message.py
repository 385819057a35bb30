"""Requests and answers of the HTTP server, its routes, and its decisions about them. No I/O."""

from __future__ import annotations

import gzip
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
JSON_LINES: Final = "application/x-ndjson"

COMPRESS_FROM: Final = 1024
"""Bytes from which a body is worth compressing."""

SECURITY_HEADERS: Final = (
    ("cache-control", "no-store"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
)
"""Headers of every answer: no cache, script, frame or guessed type."""


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Key → its last value."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; repeated ones joined by `, ` (RFC 9110 section 5.2)."""
    body: bytes = b""
    """Complete and decompressed. Only a `BodyRoute` gets one."""


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """An answer: bytes, or an asynchronous generator of bytes that are sent as they come."""

    body: bytes | AsyncGenerator[bytes, None] = b""
    status: int = 200
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


class RefusedError(Exception):
    """A request that is refused."""

    def __init__(self, reason: str, status: int, message: str, *headers: tuple[str, str]) -> None:
        """`reason` is from an enumeration, for the counter."""
        super().__init__(message)
        self.reason = reason
        self.answer = ServerResponse(f"{message}\n".encode(), status, headers=headers)


Handler = Callable[[ServerRequest], Awaitable[ServerResponse]]


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bounds of one request's body."""

    packed: int = 4 << 20
    """Bytes of a compressed body, as sent."""
    size: int = 16 << 20
    """Bytes of an uncompressed body, or of a body once it is decompressed."""
    time: float = 30.0
    """Seconds from the request's head to the body's last byte."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of one client's cost; times in seconds."""

    header_time: float = 5.0
    """From the first byte of a request (or the connection) to the end of its head."""
    header_bytes: int = 16 * 1024
    idle_time: float = 60.0
    """Between two requests of a connection."""
    answer_time: float = 30.0
    """To make an answer, and again to write it; each piece of a streamed answer has as long."""
    parting_time: float = 5.0
    """To read the rest of a refused body, and to end TLS."""
    connections: int = 128
    bodies: int = 64 << 20
    """Bytes of all bodies together that are being received or answered."""


class BodyRoute(NamedTuple):
    """A handler of requests with bodies. On any other route a body is refused.

    When it raises SpoolError, as `emit` does, nothing is stored and the client is answered with 503 and `Retry-After`.
    """

    handler: Handler
    limits: BodyLimits = BodyLimits()


Routes = Mapping[str, Handler | BodyRoute]
"""`GET /path` (which also answers HEAD) or `POST /path` → handler."""


def parse_request(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> ServerRequest:
    """Make a request of what h11 has read. Every target gives a request."""
    path, _, query = target.decode("latin-1").partition("?")
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=None)
    return ServerRequest(method.decode("latin-1"), unquote(path), dict(pairs), joined)


def find(routes: Routes, request: ServerRequest) -> Handler | BodyRoute | ServerResponse:
    """Return the handler, or the answer that says why there is none."""
    method = "GET" if request.method == "HEAD" else request.method
    handler = routes.get(f"{method} {request.path}")
    if handler is not None:
        return handler
    allowed = [route.partition(" ")[0] for route in routes if route.partition(" ")[2] == request.path]
    if not allowed:
        return ServerResponse(b"not found\n", 404)
    methods = allowed + (["HEAD"] if "GET" in allowed else [])
    return ServerResponse(b"method not allowed\n", 405, headers=(("allow", ", ".join(sorted(methods))),))


def has_body(request: ServerRequest) -> bool:
    """Whether the request announces a body."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def is_framed_twice(request: ServerRequest) -> bool:
    """Whether the request gives its length in two ways, of which a proxy before us may have used the other (request smuggling, RFC 9112 section 6.3)."""
    return "transfer-encoding" in request.headers and "content-length" in request.headers


def http_date(seconds: float) -> str:
    """Format seconds since the Unix epoch as an IMF-fixdate (RFC 9110 section 5.6.7). The agent sets no locale, so names are English."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))


def accepts_gzip(request: ServerRequest) -> bool:
    """Whether `Accept-Encoding` allows gzip (RFC 9110 section 12.5.3)."""
    for item in request.headers.get("accept-encoding", "").split(","):
        coding, _, parameters = item.strip().partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return parameters.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def compress(request: ServerRequest, response: ServerResponse) -> ServerResponse:
    """Return the response, compressed where the client allows it and the size is worth it."""
    if not isinstance(response.body, bytes) or len(response.body) < COMPRESS_FROM or not accepts_gzip(request):
        return response
    headers = (*response.headers, ("content-encoding", "gzip"), ("vary", "accept-encoding"))
    return ServerResponse(gzip.compress(response.body, 1, mtime=0), response.status, response.content_type, headers)
