"""Laws of delivery, whatever the destination answers and wherever it is interrupted."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.component import Accepted
from agent.encode.halve import halve
from agent.errors import PausedError, RejectedError, RetryableError, SpoolError, TooLargeError
from agent.exporters.otlp_answer import Outcome, Policy, read_answer, scrub
from agent.host.delivery import Sender
from agent.metrics import Metrics
from agent.net.decode import BodyTooLargeError, Inflater
from agent.net.http_client import Response
from agent.net.message import parse_url
from agent.net.progress import Phases
from agent.net.resolver import Address, alternate
from agent.record import Row, Signal
from agent.testing.spool import MemorySpool

if TYPE_CHECKING:
    from collections.abc import Sequence

# --- requests and their halves ------------------------------------------------------------------------------------------------------

SHAPES = st.lists(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=3), max_size=3)
"""Resources of scopes of groups of that many records."""


def _logs(shape) -> tuple[bytes, list[str]]:
    request, texts = ExportLogsServiceRequest(), []
    for resource in shape:
        added = request.resource_logs.add()
        added.resource.attributes.add(key="r").value.int_value = len(texts)
        for scope in resource:
            scope_logs = added.scope_logs.add()
            scope_logs.scope.name = f"s{len(texts)}"
            for _ in range(sum(scope)):
                texts.append(f"{added.resource.attributes[0].value.int_value}/{scope_logs.scope.name}/{len(texts)}")
                scope_logs.log_records.add().body.string_value = texts[-1]
    return request.SerializeToString(), texts


def _log_texts(body: bytes) -> list[str]:
    found = []
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource.scope_logs:
            prefix = f"{resource.resource.attributes[0].value.int_value}/{scope.scope.name}/"
            assert all(record.body.string_value.startswith(prefix) for record in scope.log_records)
            found += [record.body.string_value for record in scope.log_records]
    return found


def _metrics(shape) -> tuple[bytes, list[str]]:
    request, texts = ExportMetricsServiceRequest(), []
    kinds = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
    for resource in shape:
        added = request.resource_metrics.add()
        for scope in resource:
            scope_metrics = added.scope_metrics.add()
            for number, group in enumerate(scope):
                metric = scope_metrics.metrics.add(name=f"m{len(texts)}")
                data = getattr(metric, kinds[(number + len(texts)) % 5])
                data.SetInParent()
                for _ in range(group):
                    texts.append(f"{metric.name}/{len(texts)}")
                    data.data_points.add().attributes.add(key="k").value.string_value = texts[-1]
    return request.SerializeToString(), texts


def _metric_texts(body: bytes) -> list[str]:
    found = []
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            points = getattr(metric, metric.WhichOneof("data")).data_points
            assert all(point.attributes[0].value.string_value.startswith(f"{metric.name}/") for point in points)
            found += [point.attributes[0].value.string_value for point in points]
    return found


def _traces(shape) -> tuple[bytes, list[str]]:
    request, texts = ExportTraceServiceRequest(), []
    for resource in shape:
        added = request.resource_spans.add()
        for scope in resource:
            scope_spans = added.scope_spans.add()
            for _ in range(sum(scope)):
                texts.append(str(len(texts)))
                scope_spans.spans.add(name=texts[-1])
    return request.SerializeToString(), texts


def _trace_texts(body: bytes) -> list[str]:
    spans = (scope.spans for resource in ExportTraceServiceRequest.FromString(body).resource_spans for scope in resource.scope_spans)
    return [span.name for group in spans for span in group]


KINDS = {
    Signal.LOGS: (_logs, _log_texts),
    Signal.METRICS: (_metrics, _metric_texts),
    Signal.TRACES: (_traces, _trace_texts),
}


@given(st.sampled_from(list(KINDS)), SHAPES)
def test_halves_together_are_the_whole(signal, shape):
    """The records of the halves are those of the request, in order and under their own resource and scope, as evenly as can be."""
    make, texts_of = KINDS[signal]
    body, texts = make(shape)
    halves = halve(signal, body)
    if len(texts) < 2:
        assert halves is None
        return
    assert halves is not None
    assert texts_of(halves[0].body) + texts_of(halves[1].body) == texts
    assert [half.records for half in halves] == [len(texts) // 2, len(texts) - len(texts) // 2]
    assert halves == halve(signal, body)


# --- senders ------------------------------------------------------------------------------------------------------------------------

OUTCOMES = st.sampled_from(["take", "partial", "retry", "pause", "refuse", "too large", "bug"])


class Clock:
    """Time passes as soon as it is awaited."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds


def books(spool: MemorySpool) -> dict[int, tuple[int, int, int]]:
    """Row → records sent, rejected and dead."""
    return {one.seq: (one.sent, one.rejected, sum(letter.records for letter in one.dead)) for one in spool.settled}


class Destination:
    """Answers by a script, then takes everything."""

    signals = frozenset({Signal.LOGS})

    def __init__(self, script: Sequence[str]) -> None:
        self.script = list(script)
        self.ends: list[tuple[str, str]] = []
        """(text of a record, what became of it), each time it had an end here."""
        self.sent: list[bytes] = []

    async def export(self, row: Row) -> Accepted:
        self.sent.append(row.body)
        await asyncio.sleep(0)
        outcome = self.script.pop(0) if self.script else "take"
        failures = {
            "retry": RetryableError("HTTP 503", after=2.0),
            "pause": PausedError("HTTP 401"),
            "refuse": RejectedError("HTTP 400"),
            "too large": TooLargeError("HTTP 413"),
            "bug": ZeroDivisionError("oops"),
        }
        if outcome in failures:
            raise failures[outcome]
        self.ends += [(text, "taken") for text in _log_texts(zlib.decompress(row.body, wbits=31))]
        return Accepted(1, "one was bad") if outcome == "partial" and row.records else Accepted()

    async def close(self) -> None:
        pass


class Nobody:
    def emit(self, event: object) -> None:
        pass


def _rows(sizes: Sequence[int]) -> list[Row]:
    rows = []
    for seq, size in enumerate(sizes):
        body, _ = _logs([[[1] * size]])
        # each row has texts of its own, so that a record tells where it belongs
        body = ExportLogsServiceRequest.FromString(body)
        body.resource_logs[0].resource.attributes[0].value.int_value = seq
        for record in body.resource_logs[0].scope_logs[0].log_records:
            record.body.string_value = f"{seq}/s0/" + record.body.string_value.rpartition("/")[2]
        data = body.SerializeToString()
        rows.append(Row(seq, Signal.LOGS, "s", size, zlib.compress(data, wbits=31), len(data), 0))
    return rows


def _sender(spool: MemorySpool, destination: Destination) -> Sender:
    clock = Clock()
    return Sender(
        destination,
        Signal.LOGS,
        destination="there",
        spool=spool,
        clock=clock,
        telemetry=Nobody(),
        metrics=Metrics({}, clock),
        chance=lambda: 0.5,
    )


async def _life(spool: MemorySpool, destination: Destination, steps: int | None) -> None:
    """One run of the agent: to the end, or cut off after some steps of the loop."""
    sender = _sender(spool, destination)
    sender.drain()
    task = asyncio.ensure_future(sender.run())
    if steps is None:
        await asyncio.wait_for(task, 60)
        return
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@settings(max_examples=300)
@given(
    st.lists(st.integers(1, 9), max_size=6),
    st.lists(OUTCOMES, max_size=40),
    st.lists(st.booleans(), max_size=10),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_every_record_finds_exactly_one_end(sizes, script, faults, lives):
    """Whatever is answered, and wherever the agent dies: sent + rejected + dead = all, in order; nothing is lost, repeats are the same bytes."""
    rows = _rows(sizes)
    spool, destination = MemorySpool(rows, faults=[SpoolError("no") if fails else None for fails in faults]), Destination(script)

    async def all_lives() -> None:
        for steps in (*lives, None):
            await _life(spool, destination, steps)

    asyncio.run(all_lives())
    assert spool.rows == []
    assert [one.seq for one in spool.settled] == [row.seq for row in rows]
    for row in rows:
        sent, rejected, dead = books(spool)[row.seq]
        assert sent + rejected + dead == row.records
    taken = {text for text, _ in destination.ends}
    assert all(len([text for text in taken if text.startswith(f"{row.seq}/")]) >= sum(books(spool)[row.seq][:2]) for row in rows)
    assert list(dict.fromkeys(int(text.split("/")[0]) for text, _ in destination.ends)) == sorted({int(t.split("/")[0]) for t in taken})


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.lists(st.sampled_from(["take", "retry", "partial"]), max_size=20))
def test_without_a_death_nothing_is_taken_twice(sizes, script):
    """As long as the agent lives, each record is taken once."""
    spool, destination = MemorySpool(_rows(sizes)), Destination(script)
    asyncio.run(_life(spool, destination, None))
    texts = [text for text, _ in destination.ends]
    assert len(texts) == len(set(texts)) == sum(sizes)


@given(st.lists(st.integers(2, 40), min_size=1, max_size=3), st.integers(20, 400))
def test_a_limit_costs_only_what_is_over_it(sizes, limit):
    """Behind any limit exactly the records that do not fit by themselves are dead letters."""
    rows = _rows(sizes)
    spool, destination = MemorySpool(rows), Destination([])
    plain = destination.export

    async def limited(row: Row) -> Accepted:
        if row.raw_size > limit:
            raise TooLargeError("HTTP 413")
        return await plain(row)

    destination.export = limited
    asyncio.run(_life(spool, destination, None))
    singles = [half for row in rows for half in _singles(row)]
    fitting = [text for text, size in singles if size <= limit]
    assert [text for text, _ in destination.ends] == fitting
    assert sum(dead for _, _, dead in books(spool).values()) == len(singles) - len(fitting)


def _singles(row: Row) -> list[tuple[str, int]]:
    """(text, size as a request of its own) of each record."""
    pieces = [zlib.decompress(row.body, wbits=31)]
    while any(halve(Signal.LOGS, piece) for piece in pieces):
        pieces = [half for piece in pieces for half in (tuple(one.body for one in halve(Signal.LOGS, piece) or ()) or (piece,))]
    return [(_log_texts(piece)[0], len(piece)) for piece in pieces]


# --- bytes from outside -------------------------------------------------------------------------------------------------------------


@given(st.integers(200, 599), st.binary(max_size=200), st.sampled_from(["application/x-protobuf", "text/html", ""]), st.text(max_size=30))
def test_any_answer_is_understood(status, body, kind, wish):
    """No answer makes the exporter fail; what it rejects is within what was sent, and its words fit into a log."""
    response = Response(status, [("content-type", kind), ("retry-after", wish)], body, Phases(), None, "", "1.1")
    answer = read_answer(response, 7, Policy(), 0.0)
    assert 0 <= answer.rejected <= 7
    assert (answer.outcome in (Outcome.ACCEPTED, Outcome.PARTIAL, Outcome.WARNING, Outcome.BAD_RESPONSE)) == (status < 300)
    assert answer.after is None or answer.outcome is Outcome.RETRY
    words = scrub(answer.message, ("secret",))
    assert len(words) <= 300
    assert words.isprintable()


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate", "br"]), st.integers(1, 200), st.integers(1, 50))
def test_any_body_is_unpacked_or_refused(body, coding, limit, piece):
    """Any bytes under any coding give a body within the bound, or one of the two errors."""
    inflater = Inflater(coding, limit)
    try:
        for start in range(0, len(body), piece):
            inflater.feed(body[start : start + piece])
        assert len(inflater.finish()) <= limit
    except (ValueError, BodyTooLargeError):
        return


@given(st.binary(max_size=1000), st.integers(1, 100))
def test_packing_and_unpacking_agree(body, piece):
    """A compressed body is decompressed whole, however it is cut."""
    packed, inflater = zlib.compress(body, wbits=31), Inflater("gzip", 2000)
    for start in range(0, len(packed), piece):
        inflater.feed(packed[start : start + piece])
    assert inflater.finish() == body


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text):
    """A URL is taken apart into what can be sent, or refused with ValueError."""
    try:
        target = parse_url(text)
    except ValueError:
        return
    assert target.path.isascii()
    assert target.path[0] in "/?"


@given(st.lists(st.builds(Address, st.sampled_from([2, 10]), st.tuples(st.text(max_size=3), st.integers(0, 9)))))
def test_alternating_keeps_every_address_once(addresses):
    """Interleaving the families neither loses nor repeats an address, nor changes the order within a family."""
    result = alternate(addresses)
    assert sorted(result) == sorted(set(addresses))
    for family in (2, 10):
        assert [one for one in result if one.family == family] == [one for one in dict.fromkeys(addresses) if one.family == family]
