"""One HTTP/1.1 request and its answer on a connection, over h11. The answer's head and body are bounded."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import h11

from agent.net.decode import BodyTooLargeError, Inflater
from agent.net.errors import ErrorKind, NetworkError
from agent.net.message import Response, foreign
from agent.net.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.net.connection import Connection
    from agent.net.message import ParsedUrl, Request
    from agent.net.proxy import Proxy

MAX_HEAD: Final = 64 * 1024
"""Bytes of an answer's status line and headers."""
IDLE_LIMIT: Final = 30.0
"""Seconds after which an idle connection is not used again. Load balancers drop them silently after 60 s and more."""

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Exchange:
    """A request and the state of its answer."""

    target: ParsedUrl
    request: Request
    max_body: int
    sent: Callable[[], None]
    """Called once the request is handed to the operating system."""
    progress: Progress = field(default_factory=Progress)
    answering: bool = False
    """Whether a byte of the answer has arrived."""
    status: int | None = None

    def error(self, kind: ErrorKind, message: str) -> NetworkError:
        """Make an error with the status that has arrived."""
        return NetworkError(kind, message, status=self.status)


class HttpConnection:
    """A connection for one request after another."""

    def __init__(self, connection: Connection, proxy: Proxy | None = None) -> None:
        """`proxy` reads the requests if it is given, else the server does."""
        self.connection = connection
        self._proxy = proxy
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._since = 0.0
        """When it became idle, by the monotonic clock."""

    def abort(self) -> None:
        """Close at once."""
        self.connection.abort()

    def reset(self) -> bool:
        """Make ready for the next request; False if this connection can't take one.

        For example, either side sent `Connection: close`, or bytes follow the answer and would be read as the next one (RFC 9112 section 9.2).
        """
        done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not done or not self.connection.idle or self._left_over:
            return False
        self._http.start_next_cycle()
        self._since = time.monotonic()
        return True

    def fit(self) -> bool:
        """Whether an idle connection may be used."""
        return self.connection.idle and time.monotonic() - self._since < IDLE_LIMIT

    async def exchange(self, job: Exchange, headers: Headers) -> Response:
        """Send the request and return the answer. NetworkError; ValueError if a header can't be sent."""
        try:
            with job.progress.phase("processing", "waiting for the answer"):
                self._write(job, headers)
                head = await self._read_head(job)
            if self._proxy is not None and head.status_code == 407:
                raise _refusal(self._proxy, head)
            with job.progress.phase("transfer", "receiving the answer's body"):
                body = await self._read_body(job, head)
        except h11.RemoteProtocolError as error:
            raise job.error(ErrorKind.PROTOCOL, f"not a valid HTTP answer: {error}") from error
        except OSError as error:
            raise job.error(ErrorKind.RESET, f"the connection broke: {error}") from error
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        via = self.connection
        return Response(head.status_code, fields, body, job.progress.phases, via.tls, via.peer, head.http_version.decode())

    async def tunnel(self, job: Exchange) -> None:
        """Ask the proxy for a tunnel to the server (RFC 9110 section 9.3.6)."""
        authority = job.target.full_authority
        try:
            request = h11.Request(method="CONNECT", target=authority, headers=[("Host", authority), *self._credentials()])
            self.connection.transport.write(self._http.send(request) or b"")
            self._http.send(h11.EndOfMessage())
            answer = await self._read_head(job)
        except (h11.RemoteProtocolError, NetworkError, OSError) as error:
            raise NetworkError(ErrorKind.PROXY, f"no valid answer from the proxy {self._proxy}: {error}") from error
        finally:
            job.status, job.answering = None, False  # of the proxy, not of the server
        if not 200 <= answer.status_code < 300:
            raise _refusal(self._proxy, answer)
        if self._left_over:  # in TLS the client speaks first
            raise NetworkError(ErrorKind.PROXY, f"no valid answer from the proxy {self._proxy}: bytes follow its end")

    @property
    def _left_over(self) -> bytes:
        """The bytes received behind the last answer."""
        return self._http.trailing_data[0]

    def _credentials(self) -> Headers:
        given = self._proxy.authorization if self._proxy else None
        return [("Proxy-Authorization", given)] if given else []

    def _write(self, job: Exchange, headers: Headers) -> None:
        request = job.request
        try:
            event = h11.Request(method=request.method, target=self._form(job.target), headers=[*headers, *self._credentials()])
            head = self._http.send(event) or b""
        except h11.LocalProtocolError as error:
            raise ValueError(f"the request can't be sent: {error}") from error
        if request.body:
            # Not copied through h11, and written without waiting: the answer may come before all is sent.
            self._http.send_with_data_passthrough(h11.Data(data=request.body))
        self._http.send(h11.EndOfMessage())
        self.connection.transport.writelines((head, request.body))
        job.sent()

    def _form(self, target: ParsedUrl) -> str:
        """Return the request target: the path, or the whole URL for a proxy (RFC 9112 section 3.2)."""
        return target.path if self._proxy is None else f"http://{target.authority}{target.path}"

    async def _read_head(self, job: Exchange) -> h11.Response:
        while True:
            event = await self._next_event(job)
            if isinstance(event, h11.Response):
                if not event.http_version.startswith(b"1."):
                    raise NetworkError(ErrorKind.PROTOCOL, "the answer is not HTTP/1")
                job.status = event.status_code
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise NetworkError(ErrorKind.RESET, "the server closed the connection without an answer")

    async def _read_body(self, job: Exchange, head: h11.Response) -> bytes:
        inflater = Inflater(_content_coding(head), job.max_body)
        try:
            while isinstance(event := await self._next_event(job), h11.Data):
                inflater.feed(bytes(event.data))
            return inflater.finish()
        except BodyTooLargeError as error:
            raise job.error(ErrorKind.BODY_TOO_LARGE, f"the answer's body exceeds {job.max_body} bytes") from error
        except ValueError as error:
            raise job.error(ErrorKind.PROTOCOL, f"the answer's body can't be decompressed: {error}") from error

    async def _next_event(self, job: Exchange) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self.connection.receive()
            if not job.answering and (error := foreign(data)):
                raise error
            job.answering = job.answering or bool(data)
            if not data and not job.answering:
                return h11.ConnectionClosed()
            self._http.receive_data(data)
        return event


def _refusal(proxy: Proxy | None, answer: h11.Response) -> NetworkError:
    reason = f"{answer.status_code} {answer.reason.decode('latin-1')}".strip()
    if answer.status_code == 407:
        return NetworkError(ErrorKind.PROXY, f"the proxy {proxy} asks for other credentials ({reason}): give its URL user:password@")
    return NetworkError(ErrorKind.PROXY, f"the proxy {proxy} refuses to connect us ({reason})")


def _content_coding(head: h11.Response) -> str:
    return next((value.decode("latin-1").strip().lower() for name, value in head.headers if name == b"content-encoding"), "")
