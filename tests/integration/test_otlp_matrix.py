"""R11: what a destination may answer, or fail to, over real sockets; for each the exact outcome and the exact counter."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import os
import socket
import ssl
import threading
import time
import zlib
from typing import NamedTuple

import pytest
import trustme
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from agent.clock import SystemClock
from agent.component import Accepted, Context
from agent.errors import PausedError, RejectedError, RetryableError, TooLargeError
from agent.exporters.otlp_http import REQUESTS, OtlpHttp, OtlpHttpConfig
from agent.metrics import Metrics
from agent.net import dial, resolver
from agent.record import Row, Signal
from agent.testing.http_faults import CLOSE, DEAF, HANG, RESET, FaultServer, Reply, answer

RECORDS = 5
SHORT = 0.15
"""Seconds: the time-out of an attempt that must end by it."""
PATIENT = 20.0
"""Seconds: for what ends by itself, on a machine that is busy."""
PROTOBUF = {"Content-Type": "application/x-protobuf"}
TEXT = {"Content-Type": "text/plain"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
async def no_socket_left():
    """No case leaves a socket behind."""
    before = _sockets()
    yield
    for _ in range(50):
        if _sockets() <= before:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"left behind: {_sockets() - before}")


def _sockets() -> set[str]:
    with os.scandir("/proc/self/fd") as entries:
        targets = {os.readlink(entry.path) for entry in entries if os.path.lexists(entry.path)}
    return {target for target in targets if target.startswith("socket:")}


class Nobody:
    def emit(self, event: object) -> None:
        pass


def _row(signal: Signal = Signal.LOGS) -> Row:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(RECORDS):
        scope.log_records.add().body.string_value = f"text {number}"
    body = request.SerializeToString()
    return Row(1, signal, "s", RECORDS, zlib.compress(body, wbits=31), len(body), 0)


def _exporter(url: str, **options) -> OtlpHttp:
    clock = SystemClock()
    return OtlpHttp(OtlpHttpConfig(endpoint=url, **options), Context("there", clock, Metrics({}, clock), Nobody(), {}, None))


def _counted(exporter: OtlpHttp) -> dict[tuple[str, str], int]:
    data = exporter._context.metrics.collect().resource_metrics[0].scope_metrics[0].metrics
    [metric] = [one for one in data if one.name == REQUESTS.name]
    return {(point.attributes["outcome"], point.attributes["status"]): point.value for point in metric.data.data_points}


class Expect(NamedTuple):
    """The expected outcome of a request."""

    result: type[Exception] | Accepted
    outcome: str
    status: str
    words: str = ""
    after: float | None = None


def accepted(outcome: str = "accepted", status: int = 200, rejected: int = 0, words: str = "") -> Expect:
    """Taken."""
    return Expect(Accepted(rejected), outcome, str(status), words)


def retry(status: int | str, words: str = "", after: float | None = None) -> Expect:
    """Kept, and to be tried again."""
    return Expect(RetryableError, "retry", str(status), words, after)


def rejected(status: int, words: str = "") -> Expect:
    """Never to be sent again."""
    return Expect(RejectedError, "rejected", str(status), words)


def paused(status: int, words: str = "") -> Expect:
    """Kept; they refuse us."""
    return Expect(PausedError, "paused", str(status), words)


def too_large(status: int = 413) -> Expect:
    """To be halved."""
    return Expect(TooLargeError, "too_large", str(status))


async def _check(exporter: OtlpHttp, expect: Expect, row: Row | None = None) -> None:
    """Export once and compare everything that can be observed."""
    try:
        await _compare(exporter, expect, row or _row())
    finally:
        await exporter.close()
    assert _counted(exporter) == {(expect.outcome, expect.status): 1}


async def _compare(exporter: OtlpHttp, expect: Expect, row: Row) -> None:
    if isinstance(expect.result, Accepted):
        result = await exporter.export(row)
        assert result.rejected == expect.result.rejected
        assert expect.words in result.message
        assert bool(result.message) == (expect.outcome != "accepted")
        return
    with pytest.raises(expect.result) as raised:
        await exporter.export(row)
    assert type(raised.value) is expect.result
    assert expect.words in str(raised.value)
    if expect.result is RetryableError:
        assert raised.value.after == (expect.after if expect.after is None else pytest.approx(expect.after, abs=2.0))


def _id(case: object) -> str:
    return str(case) if isinstance(case, int) else ""


# --- every status code --------------------------------------------------------------------------------------------------------------

STATUSES = [
    *((status, accepted(status=status)) for status in (200, 201, 202, 203, 204, 205, 206, 207, 226, 299)),
    *((status, paused(status, "not followed")) for status in (300, 301, 302, 303, 304, 305, 307, 308)),
    *(
        (status, paused(status))
        for status in (401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 421, 426, 431, 451, 464, 501, 505, 511, 561)
    ),
    (413, too_large()),
    *((status, retry(status)) for status in (429, 502, 503, 504)),
    *((status, retry(status)) for status in (408, 425, 499, 507, 508, 509, 520, 521, 522, 523, 524, 525, 526, 527, 530, 598, 599)),
    *(
        (status, rejected(status))
        for status in (
            *(400, 409, 412, 414, 416, 417, 418, 422, 423, 424, 428),
            *(500, 506, 510, 531, 597),
        )
    ),
]


@pytest.mark.parametrize(("status", "expect"), STATUSES, ids=_id)
async def test_status(status, expect):
    """Every status code has the one outcome that the specification, or our documented deviation, gives it."""
    async with FaultServer(answer(status)) as server:
        await _check(_exporter(server.url), expect)


STRICT = [
    *((status, rejected(status)) for status in (301, 302, 307, 308, 401, 403, 404, 405, 408, 415, 500, 522, 530)),
    (413, too_large()),
    (503, retry(503)),
    (200, accepted()),
]


@pytest.mark.parametrize(("status", "expect"), STRICT, ids=_id)
async def test_status_strictly(status, expect):
    """With `strict` nothing but the four retryable codes is ever kept."""
    async with FaultServer(answer(status)) as server:
        await _check(_exporter(server.url, strict=True), expect)


@pytest.mark.parametrize(("status", "expect"), [(500, retry(500)), (510, rejected(510)), (503, retry(503)), (400, rejected(400))], ids=_id)
async def test_status_with_retry_500(status, expect):
    """With `retry_500` a 500 is kept, and nothing else changes."""
    async with FaultServer(answer(status)) as server:
        await _check(_exporter(server.url, retry_500=True), expect)


# --- Retry-After --------------------------------------------------------------------------------------------------------------------


def _date(seconds: float) -> str:
    return dt.datetime.fromtimestamp(time.time() + seconds, dt.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


WISHES = [
    ("30", 30.0),
    ("0", 0.0),
    ("1000000000", 1e9),
    ("-5", None),
    ("1.5", None),
    ("soon", None),
    ("", None),
    ("9" * 500, None),
    ("in 30 s", 30.0),
    ("30 s ago", -30.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", "far"),
]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(("wish", "seconds"), WISHES)
async def test_retry_after(status, wish, seconds):
    """Both forms of Retry-After are passed on for every retryable code, past and absurd ones as they are; nonsense is ignored."""
    value = _date(30) if wish == "in 30 s" else _date(-30) if wish == "30 s ago" else wish
    expected = 253402300799 - time.time() if seconds == "far" else seconds
    async with FaultServer(answer(status, headers={"Retry-After": value})) as server:
        await _check(_exporter(server.url), retry(status, after=expected))


@pytest.mark.parametrize("status", [200, 400, 404, 413, 500])
async def test_retry_after_where_it_has_no_meaning(status):
    """On other codes Retry-After changes nothing."""
    expect = {200: accepted(), 400: rejected(400), 404: paused(404), 413: too_large(), 500: rejected(500)}[status]
    async with FaultServer(answer(status, headers={"Retry-After": "30"})) as server:
        await _check(_exporter(server.url), expect)


# --- bodies of a success ------------------------------------------------------------------------------------------------------------


def _partial(count: int, message: str = "") -> bytes:
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = count
    response.partial_success.error_message = message
    return response.SerializeToString()


BAD = "bad_response"
SUCCESSES = {
    "empty": (answer(200, b"", PROTOBUF), accepted()),
    "empty without type": (answer(200), accepted()),
    "empty but called html": (answer(200, b"", HTML), accepted()),
    "partial success unset": (answer(200, ExportLogsServiceResponse().SerializeToString(), PROTOBUF), accepted()),
    "partial success empty": (answer(200, _partial(0), PROTOBUF), accepted()),
    "some rejected": (answer(200, _partial(2, "too old"), PROTOBUF), accepted("partial_success", rejected=2, words="too old")),
    "all rejected": (answer(200, _partial(5, "no"), PROTOBUF), accepted("partial_success", rejected=5, words="no")),
    "rejected without words": (answer(200, _partial(1), PROTOBUF), accepted("partial_success", rejected=1, words="no reason given")),
    "warning": (answer(200, _partial(0, "use v2"), PROTOBUF), accepted("warning", words="use v2")),
    "more rejected than sent": (answer(200, _partial(99, "?"), PROTOBUF), accepted(BAD, rejected=5, words="99 of 5")),
    "fewer rejected than none": (answer(200, _partial(-1, "?"), PROTOBUF), accepted(BAD, rejected=0, words="-1 of 5")),
    "partial success in 202": (answer(202, _partial(2, "x"), PROTOBUF), accepted("partial_success", 202, 2, "x")),
    "partial success without type": (answer(200, _partial(2, "x")), accepted("partial_success", rejected=2, words="x")),
    "type with parameter": (
        answer(200, _partial(2, "x"), {"Content-Type": "Application/X-Protobuf; v=1"}),
        accepted("partial_success", rejected=2),
    ),
    "packed": (
        answer(200, gzip.compress(_partial(2, "x")), {**PROTOBUF, "Content-Encoding": "gzip"}),
        accepted("partial_success", rejected=2),
    ),
    "unknown fields": (answer(200, _partial(2, "x") + b"\xfa\x01\x01y", PROTOBUF), accepted("partial_success", rejected=2)),
    "message with control characters": (answer(200, _partial(0, "a\x1b[2J\nb"), PROTOBUF), accepted("warning", words="a [2J b")),
    "message of a megabyte": (answer(200, _partial(0, "x" * MIB), PROTOBUF), accepted("warning", words="xxx…")),
    "garbage": (answer(200, b"\xff\xff\xff", PROTOBUF), accepted(BAD, words="can't be decoded")),
    "truncated protobuf": (answer(200, _partial(2, "too old")[:-3], PROTOBUF), accepted(BAD, words="can't be decoded")),
    "message that is no UTF-8": (answer(200, b"\x0a\x03\x12\x01\xff", PROTOBUF), accepted(BAD, words="can't be decoded")),
    "html": (answer(200, b"<html>hello</html>", HTML), accepted(BAD, words="text/html instead of protobuf")),
    "json": (answer(200, b"{}", {"Content-Type": "application/json"}), accepted(BAD, words="application/json")),
    "text": (answer(200, b"ok", TEXT), accepted(BAD, words="text/plain")),
    "packed garbage": (answer(200, b"not gzip", {**PROTOBUF, "Content-Encoding": "gzip"}), accepted(BAD, words="can't be decompressed")),
    "unknown coding": (answer(200, b"abc", {**PROTOBUF, "Content-Encoding": "br"}), accepted(BAD, words="unknown Content-Encoding")),
    "over 4 MiB": (answer(200, bytes(4 * MIB + 1), PROTOBUF), accepted(BAD, words="exceeds 4194304 bytes")),
    "a bomb": (answer(200, gzip.compress(bytes(100 * MIB)), {**PROTOBUF, "Content-Encoding": "gzip"}), accepted(BAD, words="exceeds")),
    "announced 4 GB": (answer(200, b"x" * 5 * MIB, {**PROTOBUF, "Content-Length": "4000000000"}), accepted(BAD, words="exceeds")),
    "endless chunks": (
        Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + bytes(65536) + b"\r\n") * 65, then="hang"),
        accepted(BAD, words="exceeds"),
    ),
    "body cut off": (
        answer(200, b"abc", {**PROTOBUF, "Content-Length": "10"}, then="close"),
        accepted(BAD, words="not a valid HTTP answer"),
    ),
    "body reset": (answer(200, b"abc", {**PROTOBUF, "Content-Length": "10"}, delay=0.01, then="reset"), accepted(BAD, words="broke")),
    "interim answers first": (Reply(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + answer(200).raw), accepted()),
    "HTTP/1.0": (Reply(b"HTTP/1.0 200 OK\r\n\r\n", then="close"), accepted()),
    "no phrase": (Reply(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), accepted()),
    "chunked": (Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), accepted()),
}


@pytest.mark.parametrize(("reply", "expect"), SUCCESSES.values(), ids=SUCCESSES)
async def test_success(reply, expect):
    """A 2xx means that the data was taken, whatever its body is. Rejected records in the body are read; anything else in it is counted."""
    async with FaultServer(reply) as server:
        await _check(_exporter(server.url), expect)


@pytest.mark.parametrize("signal", [Signal.LOGS, Signal.METRICS, Signal.TRACES])
async def test_partial_success_of_each_signal(signal):
    """The answers of all signals are understood: each message has its own type in the protocol."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = {
        Signal.LOGS: ExportLogsServiceResponse,
        Signal.METRICS: ExportMetricsServiceResponse,
        Signal.TRACES: ExportTraceServiceResponse,
    }[signal]()
    field = {Signal.LOGS: "rejected_log_records", Signal.METRICS: "rejected_data_points", Signal.TRACES: "rejected_spans"}[signal]
    setattr(response.partial_success, field, 3)
    response.partial_success.error_message = "why"
    async with FaultServer(answer(200, response.SerializeToString(), PROTOBUF)) as server:
        exporter = _exporter(server.url, signals=[signal.value])
        await _check(exporter, accepted("partial_success", rejected=3, words="why"), _row(signal))


# --- bodies of a refusal ------------------------------------------------------------------------------------------------------------

STATUS = ExportLogsPartialSuccess(rejected_log_records=3, error_message="log 7 is broken").SerializeToString() + b"\x1a\x03\x0a\x01x"
"""A google.rpc.Status {code: 3, message: …, details: […]} as it is on the wire."""

REFUSALS = {
    "status message": (answer(400, STATUS, PROTOBUF), rejected(400, "HTTP 400: log 7 is broken")),
    "packed status message": (
        answer(400, gzip.compress(STATUS), {**PROTOBUF, "Content-Encoding": "gzip"}),
        rejected(400, "log 7 is broken"),
    ),
    "status message of a retry": (answer(503, STATUS, PROTOBUF), retry(503, "log 7 is broken")),
    "status message of a pause": (answer(401, STATUS, PROTOBUF), paused(401, "log 7 is broken")),
    "text": (answer(400, b"no such tenant", TEXT), rejected(400, "no such tenant")),
    "json": (answer(400, b'{"message":"no"}', {"Content-Type": "application/json"}), rejected(400, '{"message":"no"}')),
    "html": (answer(502, b"<h1>Bad gateway</h1>", HTML), retry(502, "Bad gateway")),
    "binary": (answer(400, b"\x00\x01", {"Content-Type": "image/png"}), rejected(400, "an answer of type image/png")),
    "garbage": (answer(400, b"\xff\xff", PROTOBUF), rejected(400, "can't be decoded")),
    "no UTF-8": (answer(400, b"caf\xe9", TEXT), rejected(400, "caf")),
    "control characters": (answer(400, b"a\x1b]0;x\x07\r\nb", TEXT), rejected(400, "HTTP 400: a ]0;x b")),
    "long": (answer(400, b"x" * 100_000, TEXT), rejected(400, "xxx…")),
    "cut off": (answer(503, b"abc", {**TEXT, "Content-Length": "10"}, then="close"), retry(503, "HTTP 503; not a valid HTTP answer")),
    "cut off for good": (answer(400, b"abc", {**TEXT, "Content-Length": "10"}, then="close"), rejected(400, "HTTP 400; not a valid")),
    "over 4 MiB": (answer(400, bytes(4 * MIB + 1), TEXT), rejected(400, "exceeds 4194304 bytes")),
    "over 4 MiB is no reason to retry": (answer(503, bytes(4 * MIB + 1), TEXT), rejected(503, "exceeds 4194304 bytes")),
    "over 4 MiB of 413": (answer(413, bytes(4 * MIB + 1), TEXT), too_large()),
    "over 4 MiB of 401": (answer(401, bytes(4 * MIB + 1), TEXT), paused(401)),
    "packed garbage": (answer(503, b"xx", {**TEXT, "Content-Encoding": "gzip"}), retry(503, "can't be decompressed")),
    "redirect": (answer(307, headers={"Location": "http://other.test/v1/logs"}), paused(307, "redirected to http://other.test/v1/logs")),
    "redirect to nowhere": (answer(302), paused(302, "redirected to nowhere")),
    "redirect with a password": (
        answer(301, headers={"Location": "http://u:pw@other.test/"}),
        paused(301, "http://**********@other.test/"),
    ),
    "early 413": (answer(413, read="head", then="close"), too_large()),
    "early 503": (answer(503, read="head", then="close"), retry(503)),
}


@pytest.mark.parametrize(("reply", "expect"), REFUSALS.values(), ids=REFUSALS)
async def test_refusal(reply, expect):
    """The status decides; the body only explains, made harmless and short; a body over the limit is never a reason to retry."""
    async with FaultServer(reply) as server:
        await _check(_exporter(server.url), expect)


# --- no answer ----------------------------------------------------------------------------------------------------------------------

SILENCES = {
    "closed": (CLOSE, retry("reset", "closed the connection without an answer")),
    "reset": (RESET, retry("reset", "broke")),
    "reset at once": (Reply(read="nothing", then="reset"), retry("reset")),
    "reset after the head": (Reply(read="head", then="reset"), retry("reset")),
    "reset in the body": (Reply(read="half", then="reset"), retry("reset")),
    "closed in the body": (Reply(read="half", then="close"), retry("reset")),
    "status line cut off": (Reply(b"HTTP/1.1 20", then="close"), retry("protocol")),
    "reset in the status line": (Reply(b"HTTP/1.1 20", delay=0.01, then="reset"), retry("reset")),
    "head cut off": (Reply(b"HTTP/1.1 200 OK\r\nA: b\r\n", then="close"), retry("protocol")),
    "not HTTP": (Reply(b"220 smtp.test ESMTP\r\n\r\n", then="close"), retry("protocol")),
    "HTTP/2 preface": (Reply(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", then="close"), retry("protocol")),
    "gRPC server": (Reply(b"\x00\x00\x18\x04\x00\x00\x00\x00\x00", then="close"), retry("protocol")),
    "HTTP/2 status line": (Reply(b"HTTP/2.0 200 OK\r\n\r\n", then="close"), retry("protocol", "not HTTP/1")),
    "switching protocols": (Reply(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", then="close"), retry("protocol")),
    "broken header": (Reply(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", then="close"), retry("protocol")),
    "two lengths": (Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", then="close"), retry("protocol")),
    "endless head": (Reply(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, then="hang"), retry("protocol")),
    "endless headers": (Reply(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000, then="hang"), retry("protocol")),
    "status 99": (Reply(b"HTTP/1.1 099 No\r\n\r\n", then="close"), retry("protocol")),
    "status 1000": (Reply(b"HTTP/1.1 1000 No\r\n\r\n", then="close"), retry("protocol")),
}


@pytest.mark.parametrize(("reply", "expect"), SILENCES.values(), ids=SILENCES)
async def test_no_answer(reply, expect):
    """Without an answer that can be understood, the row is kept and tried again, and the kind of failure is counted."""
    async with FaultServer(reply) as server:
        await _check(_exporter(server.url), expect)


@pytest.mark.parametrize("end", [CLOSE, RESET])
async def test_a_kept_connection_that_ended(end):
    """A kept connection that the server ends just as it is used costs nothing but a second connection; the bytes are the same."""
    async with FaultServer(answer(200), end) as server:
        exporter = _exporter(server.url)
        for _ in range(2):
            assert await exporter.export(_row()) == Accepted()
        await exporter.close()
        assert server.log.requests[1] == server.log.requests[2]
        assert _counted(exporter) == {("accepted", "200"): 2}


LATE = {
    "hang": (HANG, retry("timeout", "waiting for the answer")),
    "hang without reading": (DEAF, retry("timeout", "waiting for the answer")),
    "hang after the head of the request": (Reply(read="head", then="hang"), retry("timeout")),
    "hang in the status line": (Reply(b"HTTP/1.1 2", then="hang"), retry("timeout", "waiting for the answer")),
    "hang in the head": (Reply(b"HTTP/1.1 200 OK\r\nContent-Le", then="hang"), retry("timeout", "waiting for the answer")),
    "hang after 100": (Reply(b"HTTP/1.1 100 Continue\r\n\r\n", then="hang"), retry("timeout", "waiting for the answer")),
    "drip of an answer": (answer(200, drip=0.02), retry("timeout", "waiting for the answer")),
    "drip of a refusal": (answer(400, b"x" * 50, drip=0.02), retry("timeout", "waiting for the answer")),
    "late answer": (answer(200, delay=5.0), retry("timeout")),
    "hang in the body of a success": (
        answer(200, b"a", {"Content-Length": "2"}, then="hang"),
        accepted(BAD, words="receiving the answer's body"),
    ),
    "hang in the body of a 503": (answer(503, b"a", {"Content-Length": "2"}, then="hang"), retry(503, "receiving the answer's body")),
    "hang in the body of a 400": (answer(400, b"a", {"Content-Length": "2"}, then="hang"), rejected(400, "receiving the answer's body")),
    "hang in the body of a 413": (answer(413, b"a", {"Content-Length": "2"}, then="hang"), too_large()),
    "endless interim answers": (Reply(b"HTTP/1.1 102 Processing\r\n\r\n" * 5, then="hang"), retry("timeout")),
    "drip of interim answers": (Reply(b"HTTP/1.1 102 Processing\r\n\r\n" * 5, drip=0.005), retry("timeout")),
}


@pytest.mark.parametrize(("reply", "expect"), LATE.values(), ids=LATE)
async def test_too_late(reply, expect):
    """The time-out of an attempt is total: neither silence nor a drip of bytes stretches it."""
    async with FaultServer(reply) as server:
        start = time.monotonic()
        await _check(_exporter(server.url, timeout=SHORT), expect)
        assert SHORT <= time.monotonic() - start < SHORT + 1.0


# --- TLS ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of our own."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path) -> str:
    """Its certificate as a file."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def _context(ca: trustme.CA, *names: str, **options) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*(names or ("127.0.0.1",)), **options).configure_cert(context)
    return context


def _old(ca: trustme.CA) -> ssl.SSLContext:
    context = _context(ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return context


def _only_1_2(ca: trustme.CA) -> ssl.SSLContext:
    context = _context(ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _mutual(ca: trustme.CA) -> ssl.SSLContext:
    context = _only_1_2(ca)  # with 1.3 the server complains only after the handshake
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    return context


def _day(offset: int) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=offset)


TLS_CASES = {
    "trusted": (_context, {}, accepted()),
    "TLS 1.2": (_only_1_2, {}, accepted()),
    "TLS 1.2 is too old by option": (_only_1_2, {"min_version": "1.3"}, retry("tls", "handshake failed")),
    "TLS 1.1 is always too old": (_old, {}, retry("tls", "handshake failed")),
    "expired": (lambda ca: _context(ca, not_before=_day(-9), not_after=_day(-1)), {}, retry("tls", "certificate has expired")),
    "not yet valid": (lambda ca: _context(ca, not_before=_day(1), not_after=_day(9)), {}, retry("tls", "not yet valid")),
    "another host": (lambda ca: _context(ca, "other.test"), {}, retry("tls", "mismatch")),
    "another host, asked for": (lambda ca: _context(ca, "other.test"), {"server_name": "other.test"}, accepted()),
    "another authority": (lambda _: _context(trustme.CA()), {}, retry("tls", "not trusted")),
    "another authority, not verified": (lambda _: _context(trustme.CA()), {"insecure_skip_verify": True}, accepted()),
    "expired, not verified": (lambda ca: _context(ca, not_before=_day(-9), not_after=_day(-1)), {"insecure_skip_verify": True}, accepted()),
    "client certificate missing": (_mutual, {}, retry("tls")),
}


@pytest.mark.parametrize(("make", "options", "expect"), TLS_CASES.values(), ids=TLS_CASES)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # the server of the past is the point
async def test_tls(make, options, expect, authority, ca_file):
    """TLS fails closed: nothing is sent to whom we can't verify, and the row is kept."""
    async with FaultServer(tls=make(authority)) as server:
        await _check(_exporter(server.url, tls={"ca_file": ca_file, **options}, timeout=5), expect)
        assert len(server.log.requests) == isinstance(expect.result, Accepted)


async def test_tls_with_a_client_certificate(authority, ca_file, tmp_path):
    """Mutual TLS works with key and certificate in two files."""
    own = authority.issue_cert("client.test")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = {"ca_file": ca_file, "cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    async with FaultServer(tls=_mutual(authority)) as server:
        await _check(_exporter(server.url, tls=tls), accepted())


async def test_tls_without_our_authority():
    """Without `ca_file` the system's authorities decide, and a private one is not among them."""
    async with FaultServer(tls=_context(trustme.CA())) as server:
        await _check(_exporter(server.url), retry("tls", "not trusted"))


async def test_tls_authority_rotated_on_disk(authority, tmp_path):
    """A CA file that is replaced while we run is in force at the next attempt."""
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    async with FaultServer(tls=_context(authority)) as server:
        exporter = _exporter(server.url, tls={"ca_file": str(path)})
        with pytest.raises(RetryableError, match="not trusted"):
            await exporter.export(_row())
        path.unlink()
        authority.cert_pem.write_to_path(path)
        assert await exporter.export(_row()) == Accepted()
        await exporter.close()
        assert _counted(exporter) == {("retry", "tls"): 1, ("accepted", "200"): 1}


async def test_https_to_a_plain_server():
    """TLS spoken to a server that knows none is a failure of the kind `tls`."""
    async with FaultServer(Reply(b"HTTP/1.1 400 Bad Request\r\n\r\n", read="nothing", then="close")) as server:
        await _check(_exporter(server.url.replace("http:", "https:")), retry("tls"))


async def test_http_to_a_tls_server(authority):
    """Plain HTTP to a TLS port does not get an HTTP answer."""
    async with FaultServer(tls=_context(authority)) as server:
        exporter = _exporter(server.url.replace("https:", "http:"))
        with pytest.raises(RetryableError):
            await exporter.export(_row())
        await exporter.close()
        [(outcome, status)] = _counted(exporter)
        assert (outcome, status in ("protocol", "reset")) == ("retry", True)


@pytest.mark.parametrize(
    ("reply", "expect"), [(DEAF, retry("timeout", "in the TLS handshake")), (Reply(read="nothing", then="reset"), retry("tls"))]
)
async def test_tls_handshake_that_does_not_come(reply, expect):
    """A handshake that hangs ends at the time-out, one that is reset at once."""
    async with FaultServer(reply) as server:
        timeout = SHORT if reply is DEAF else PATIENT
        await _check(_exporter(server.url.replace("http:", "https:"), timeout=timeout), expect)


# --- names and connections ----------------------------------------------------------------------------------------------------------


def _resolver(monkeypatch, *outcomes: object) -> list[str]:
    """Replace the resolver: each question takes the next outcome (a list of addresses, an error), the last one stays."""
    asked: list[str] = []
    rest = list(outcomes)

    def getaddrinfo(host, port, **_options):
        asked.append(host)
        outcome = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(outcome, Exception):
            raise outcome
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in outcome]

    monkeypatch.setattr(resolver.socket, "getaddrinfo", getaddrinfo)
    return asked


DNS_FAILURES = {
    "unknown name": (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "not known"),
    "name server in trouble": (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "Temporary failure"),
    "no address": (socket.gaierror(-5, "No address associated with hostname"), "No address"),
    "impossible name": (UnicodeError("label empty or too long"), "not a valid host name"),
}


@pytest.mark.parametrize(("error", "words"), DNS_FAILURES.values(), ids=DNS_FAILURES)
async def test_dns_failure(error, words, monkeypatch):
    """A name that does not resolve now may do so later: the row is kept."""
    _resolver(monkeypatch, error)
    await _check(_exporter("http://collector.test:4318"), retry("resolve", words))


async def test_dns_hang(monkeypatch):
    """A silent name server delays an attempt by no more than its time-out, and does not keep the process from ending."""
    release = threading.Event()
    monkeypatch.setattr(resolver.socket, "getaddrinfo", lambda *_a, **_o: release.wait(10) and [])
    try:
        await _check(_exporter("http://collector.test:4318", timeout=SHORT), retry("timeout", "resolving collector.test"))
        assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("resolve"))
    finally:
        release.set()


async def test_dns_changed_address(monkeypatch):
    """After a failure the name is asked for again: a destination that moved is found."""
    async with FaultServer() as server:
        asked = _resolver(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
        exporter = _exporter(f"http://collector.test:{server.port}")
        with pytest.raises(RetryableError, match="refused"):
            await exporter.export(_row())
        assert await exporter.export(_row()) == Accepted()
        await exporter.close()
        assert asked == ["collector.test"] * 2
        assert _counted(exporter) == {("retry", "connect"): 1, ("accepted", "200"): 1}


async def test_dns_several_addresses(monkeypatch):
    """Of several addresses the first that answers is used."""
    async with FaultServer() as server:
        _resolver(monkeypatch, ["127.0.0.2", "127.0.0.3", "127.0.0.1"])
        await _check(_exporter(f"http://collector.test:{server.port}"), accepted())


async def test_ipv6_black_hole(monkeypatch):
    """An IPv6 address that swallows everything costs a quarter of a second, not the attempt."""
    connect_one = dial.connect_one

    async def swallow(address):
        if address.family == socket.AF_INET6:
            await asyncio.Event().wait()
        return await connect_one(address)

    monkeypatch.setattr(dial, "connect_one", swallow)
    async with FaultServer() as server:
        _resolver(monkeypatch, ["2001:db8::1", "127.0.0.1"])
        await _check(_exporter(f"http://collector.test:{server.port}", timeout=2), accepted())


async def test_nothing_listens():
    """A refused connection is kept and tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    await _check(_exporter(f"http://127.0.0.1:{port}"), retry("connect", "connection refused"))


@pytest.mark.parametrize(
    ("number", "words"), [(113, "no route to host"), (101, "network is unreachable"), (24, "too many open files"), (110, "timed out")]
)
async def test_connecting_fails(number, words, monkeypatch):
    """Whatever error the kernel gives for a connection, the row is kept and the reason reported."""

    async def fail(_address):
        raise OSError(number, "…")

    monkeypatch.setattr(dial, "connect_one", fail)
    await _check(_exporter("http://127.0.0.1:4318"), retry("connect", words))


async def test_connecting_hangs(monkeypatch):
    """A connection that is never answered ends at the time-out."""

    async def hang(_address):
        await asyncio.Event().wait()

    monkeypatch.setattr(dial, "connect_one", hang)
    await _check(_exporter("http://127.0.0.1:4318", timeout=SHORT), retry("timeout", "connecting"))


@pytest.mark.parametrize("reply", [HANG, DEAF, answer(200, b"x" * 100, drip=0.05)])
async def test_cancelled(reply):
    """A cancelled export ends at once and leaves neither a task nor a descriptor."""
    async with FaultServer(reply) as server:
        exporter = _exporter(server.url)
        task = asyncio.ensure_future(exporter.export(_row()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await exporter.close()
