"""Components written by ARCHITECTURE.md and the contract alone: each one file and one registry line, and everything else is there."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gzip
import re
import socket
from pathlib import Path

import pytest

from agent import registry
from agent.columns import Block, Records
from agent.config import components, load, schema
from agent.encode.otlp_logs import LogEncoder
from agent.errors import SpoolError
from agent.history.store import History
from agent.host.builder import Builder
from agent.host.pipeline import Host
from agent.host.row_parts import halve_row
from agent.net.http_client import HttpClient, NetworkError, Request
from agent.record import Batch, LogRecord, Origin, Payload, Signal
from agent.registry import Kind
from agent.testing import conformance
from agent.testing.clock import FakeClock, settle
from agent.testing.conformance import EXPORTER_CHECKS, SAMPLER_CHECKS, SOURCE_CHECKS, ExporterCase, SamplerCase, SourceCase
from agent.testing.context import make_context
from agent.testing.exporters import make_row
from agent.testing.otlp_server import decode
from agent.testing.sink import Sink
from agent.testing.spool import MemorySpool

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """One line each."""
    monkeypatch.syspath_prepend(ROOT / "tests/toys")
    monkeypatch.setitem(registry.SOURCES, "ticker", "ticker:Ticker")
    monkeypatch.setitem(registry.SOURCES, "pods", "pods:Pods")
    monkeypatch.setitem(registry.SOURCES, "steps", "steps:Steps")
    monkeypatch.setitem(registry.SAMPLERS, "queue_age", "queue_age:QueueAge")
    monkeypatch.setitem(registry.SAMPLERS, "boots", "boots:Boots")
    monkeypatch.setitem(registry.SAMPLERS, "levels", "levels:Levels")
    monkeypatch.setitem(registry.SAMPLERS, "peaks", "peaks:Peaks")
    monkeypatch.setitem(registry.EXPORTERS, "null", "null:Null")
    monkeypatch.setitem(registry.SOURCES, "push", "push:Push")


@pytest.mark.parametrize("toy", ["ticker", "null"])
def test_the_toys_are_those_of_the_document(toy):
    """Every line of code that ARCHITECTURE.md shows for a toy stands, in that order, in its file."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL)
    source = (ROOT / f"tests/toys/{toy}.py").read_text()
    (block,) = [block for block in blocks if block.split("\n")[0] == source.split("\n")[0]]
    lines = iter(bare(source))
    for line in bare(block):
        assert line in lines, line


def bare(text: str) -> list[str]:
    """The lines of a program without comments and spacing."""
    return [line.partition("  #")[0].strip() for line in text.split("\n") if line.strip()]


def test_they_can_be_configured(tmp_path):
    """Their options are checked, and appear in the schema and among the components."""
    file = tmp_path / "f.yaml"
    file.write_text("sources:\n  - {type: ticker, word: tock}\nexporters:\n  - type: 'null'\n")
    settings = load(file, {})
    assert settings.sources[0].options.word == "tock"
    assert settings.exporters[0].name == "null"
    assert schema()["$defs"]["sources.ticker"]["properties"]["word"]["description"] == "The body of each record."
    (ticker,) = [component for component in components() if component.type == "ticker"]
    assert ticker.summary == "One record a second. Never catches up on ticks it missed."


async def test_the_ticker_goes_on_where_it_stood():
    """It ticks once a second, and after a restart counts on from the committed position, also when a commit was refused."""
    answers = iter([False, True])
    sink, clock = Sink(lambda: next(answers, False)), FakeClock()
    context = dataclasses.replace(make_context(clock=clock), positions=sink.positions)
    ticker = registry.load(Kind.SOURCE, "ticker")
    task = asyncio.get_running_loop().create_task(run_again(lambda: ticker(ticker.Config(), context), sink))
    for _ in range(5):
        await clock.advance(1.0)
    await conformance.stop(task)
    assert [record.attributes["number"] for record in sink.records] == [0, 1, 2, 3]
    assert sink.refused == 1


async def run_again(make, sink):
    """Start a source again after it raised, as the host does."""
    while True:
        with contextlib.suppress(SpoolError):
            await make().run(sink.emit)


@pytest.mark.parametrize("check", EXPORTER_CHECKS, ids=lambda check: check.__name__)
async def test_the_null_exporter_conforms(check):
    """The suite that is shipped runs over a component that it has never seen."""
    null = registry.load(Kind.EXPORTER, "null")
    await conformance.run(check, ExporterCase(lambda context: null(null.Config(), context), make_row(b"")))


@contextlib.asynccontextmanager
async def pushed_to(emit):
    """A push source that emits so, and what posts to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    push = registry.load(Kind.SOURCE, "push")
    source = push(push.Config(listen=f"127.0.0.1:{port}", max_body="1KiB"), make_context("edge"))
    task, client = asyncio.get_running_loop().create_task(source.run(emit)), HttpClient()

    async def ask(method: str, body: bytes = b"", headers=None):
        return await client.send(Request(method, f"http://127.0.0.1:{port}/lines", headers or {}, body), deadline=5)

    try:
        while isinstance((await asyncio.gather(ask("GET"), return_exceptions=True))[0], NetworkError):  # noqa: ASYNC110 - until it listens
            await asyncio.sleep(0.001)
        yield functools.partial(ask, "POST")
    finally:
        await client.close()
        await conformance.stop(task)


async def test_a_client_of_the_push_source_is_answered_when_its_lines_are_stored():
    """The answer waits for the commit; a commit that is refused is answered with 503 and stores nothing; a body over the limit with 413."""
    sink, committing = Sink(), asyncio.Event()

    async def emit(batch) -> None:
        assert batch.durable
        await committing.wait()
        await sink.emit(batch)

    async with pushed_to(emit) as post:
        answer = asyncio.ensure_future(post(gzip.compress(b"one\ntwo\n"), {"Content-Encoding": "gzip"}))
        done, _ = await asyncio.wait([answer], timeout=0.05)
        assert (done, sink.records) == (set(), [])
        committing.set()
        assert (await answer).status == 200
        assert [record.body for record in sink.records] == ["one", "two"]
        sink.refuse = lambda: True
        refused = await post(b"three\n")
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        assert (await post(bytes(2000))).status == 413
    assert len(sink.records) == 2


def built(tmp_path, text, spool, history=None, clock=None):
    """Build a configuration over this spool, as the host does."""
    file = tmp_path / "f.yaml"
    file.write_text(text)
    context = make_context(clock=clock or FakeClock())
    host = Host(context.clock, context.metrics, context.telemetry, spool, history=history)
    return Builder(load(file, {}), host).build(), context


@pytest.mark.parametrize(("toy", "wanted"), [("pods", ["a is up", "b is up"]), ("steps", ["load", "train", "report"])])
@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
async def test_the_toy_sources_conform(check, toy, wanted):
    """Also one that emits nothing but encoded spans: each of them once, over refusals and restarts."""
    source = registry.load(Kind.SOURCE, toy)
    await conformance.run(check, SourceCase(lambda context: source(source.Config(), context), lambda: None, wanted))


@pytest.mark.parametrize("toy", ["queue_age", "boots", "peaks"])
@pytest.mark.parametrize("check", SAMPLER_CHECKS, ids=lambda check: check.__name__)
async def test_the_toy_samplers_conform(check, toy):
    """A sampler may be asynchronous, and may store."""
    sampler = registry.load(Kind.SAMPLER, toy)
    await conformance.run(check, SamplerCase(lambda context: sampler(sampler.Config(), context)))


async def test_a_record_arrives_with_its_own_resource_and_scope(tmp_path):
    """The toy says only whose record it is; the request says it as OTLP does, beside what the agent knows of its workload."""
    spool = MemorySpool()
    pipeline, _ = built(tmp_path, "service: {name: shop}\nsources: [{type: pods}]\n", spool)
    await conformance.stop(await begun(pipeline.sources[0]))
    found = [decode("/v1/logs", payload.body).resource_logs[0] for one in spool.appends for payload in one.payloads]
    names = [{pair.key: pair.value.string_value for pair in one.resource.attributes} for one in found]
    assert names == [{"service.name": "shop", "k8s.pod.name": "a"}, {"service.name": "shop", "k8s.pod.name": "b"}]
    assert {(scope.scope.name, scope.scope.version) for one in found for scope in one.scope_logs} == {("kubelet", "1.33")}
    await pipeline.close()


async def test_a_secret_in_a_records_own_resource_is_redacted(tmp_path):
    """A source's resource and scope are searched like its records; a configured attribute is left to the user."""
    spool = MemorySpool()
    pipeline, _ = built(tmp_path, "sources: [{type: pods, names: ['postgres://app:tr0ub4dor@db/app']}]\n", spool)
    await conformance.stop(await begun(pipeline.sources[0]))
    assert b"tr0ub4dor" not in spool.appends[0].payloads[0].body
    assert spool.appends[0].payloads[0].body.count(b"[REDACTED]") == 2
    await pipeline.close()


async def test_spans_arrive_redacted_and_can_be_halved(tmp_path):
    """The requests that the toy encodes itself are searched too, are sent by the OTLP exporter as traces, and are halved if too large."""
    spool = MemorySpool()
    text = "sources: [{type: steps, plan: [load, 'GET /?access_token=tr0ub4dor-and-3']}]\nexporters: [{type: otlp_http, endpoint: http://localhost:4318, signals: [traces]}]\n"
    pipeline, _ = built(tmp_path, text, spool)
    await conformance.stop(await begun(pipeline.sources[0]))
    assert Signal.TRACES in pipeline.exporters[0][1].signals
    requests = [decode("/v1/traces", payload.body) for one in spool.appends for payload in one.payloads]
    assert [request.resource_spans[0].scope_spans[0].spans[0].name for request in requests] == ["load", "GET /?access_token=[REDACTED]"]
    requests[0].MergeFrom(requests[1])
    first, second = halve_row(make_row(requests[0].SerializeToString(), signal=Signal.TRACES, records=2))
    assert (first.records, second.records) == (1, 1)
    await pipeline.close()


async def test_a_sampler_that_is_asynchronous_is_published(tmp_path):
    """Its gauge and its histogram leave by the collection like any other."""
    pipeline, context = built(tmp_path, "samplers: [{type: queue_age}]\n", MemorySpool())
    await pipeline.samplers[0].sample()
    found = {metric.name: metric.data.data_points[0] for metric in context.metrics.collect().resource_metrics[0].scope_metrics[0].metrics}
    assert found["queue.oldest_job.age"].value == 1.5
    assert (found["queue.job.wait"].bucket_counts, found["queue.job.wait"].sum) == ([1, 0, 1], 2.25)
    await pipeline.close()


async def test_a_sampler_keeps_state_over_a_restart_and_stores_a_record(tmp_path):
    """Three agents, the second of which can't store at first: three starts are counted, each with its record."""
    spool, values = MemorySpool(), []
    for faults in ([], [SpoolError("broken")], []):
        spool.faults = faults
        pipeline, context = built(tmp_path, "samplers: [{type: boots}]\n", spool)
        for _ in range(2):
            await pipeline.samplers[0].sample()
        values += [one.value for one in context.metrics.published("boots") if one.metric.name == "boots"]
        await pipeline.close()
    assert values == [1, 2, 3]
    records = [decode("/v1/logs", payload.body) for one in spool.appends for payload in one.payloads]
    assert [one.resource_logs[0].scope_logs[0].log_records[0].body.string_value for one in records] == [
        f"start number {n}" for n in (1, 2, 3)
    ]
    assert await spool.positions("boots") == {"count": b"3"}


async def test_a_sampler_keeps_what_it_measures(tmp_path, monkeypatch):
    """It finds the measurements of an earlier agent; without a history it still measures."""
    values, clock = [], FakeClock()
    for load_now in (3.0, 7.0, 1.0):
        await clock.advance(10)
        monkeypatch.setattr("os.getloadavg", lambda load_now=load_now: (load_now, 0.0, 0.0))
        context = make_context()
        history = History(tmp_path, context.telemetry, wall_ns=clock.wall_ns)
        for kept in (history, None):
            pipeline, context = built(tmp_path, "samplers: [{type: peaks}]\n", MemorySpool(), kept, clock)
            await pipeline.samplers[0].sample()
            values += [one.value for one in context.metrics.published("peaks") if one.metric.name == "peak.load"]
            await pipeline.close()
        await history.close()
    assert values == [3.0, 3.0, 7.0, 7.0, 7.0, 1.0]


async def test_a_tap_counts_what_is_stored_and_makes_no_record_for_it(tmp_path):
    """Records of lines, records of a request and the agent's own ones are counted; what was not stored is not; none of a block is made."""
    spool = MemorySpool(faults=[SpoolError("broken")])
    pipeline, context = built(tmp_path, "samplers: [{type: levels}, {type: boots}]\nsources: [{type: ticker}]\n", spool)
    lines, looked = [(0, b'{"level": "error"}'), (1, b'{"level": "info"}')], []
    block = Block(lines, b"", bytes([17, 9]), Origin("f"), looked.append)
    request = Payload(Signal.LOGS, 1, LogEncoder({}).encode([LogRecord(1, 1, 13, "", "theirs", {}, Origin("o"), 0)]))
    emit = pipeline.sources[0].intake.emit
    with pytest.raises(SpoolError):
        await emit(Batch(payloads=[request]))
    await emit(Batch(payloads=[request]))
    pipeline.samplers[0].sampler.stored("file", Batch(records=Records(block)))
    for poller in reversed(pipeline.samplers):
        await poller.sample()
    found = {
        (one.attributes["source"], one.attributes["severity"]): one.value
        for one in context.metrics.published("levels")
        if one.metric.name == "levels.records"
    }
    assert found == {("ticker", "13"): 1, ("boots", "9"): 1, ("file", "17"): 1, ("file", "9"): 1}
    assert looked == []
    await pipeline.close()


async def begun(running):
    """A source of a pipeline at work, when all that it has is stored."""
    task = asyncio.get_running_loop().create_task(running.source.run(running.intake.emit))
    await settle()
    return task
