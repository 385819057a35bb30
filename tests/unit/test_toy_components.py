"""Sources and an exporter written by ARCHITECTURE.md alone: each one file and one registry line, and everything else is there."""

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
from agent.config import components, load, schema
from agent.errors import SpoolError
from agent.net.http_client import HttpClient, HttpError, Request
from agent.registry import Kind
from agent.testing import conformance
from agent.testing.clock import FakeClock
from agent.testing.conformance import EXPORTER_CHECKS, ExporterCase
from agent.testing.context import make_context
from agent.testing.exporters import make_row
from agent.testing.sink import Sink

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    """One line each."""
    monkeypatch.syspath_prepend(ROOT / "tests/toys")
    monkeypatch.setitem(registry.SOURCES, "ticker", "ticker:Ticker")
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
    """What the host does: start anew whoever raised."""
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
        while isinstance((await asyncio.gather(ask("GET"), return_exceptions=True))[0], HttpError):  # noqa: ASYNC110 - until it listens
            await asyncio.sleep(0.001)
        yield functools.partial(ask, "POST")
    finally:
        await client.close()
        await conformance.stop(task)


async def test_a_client_of_the_push_source_is_answered_when_its_lines_are_stored():
    """The answer waits for the commit; a commit that is refused is answered with 503 and stores nothing; a body over the limit with 413."""
    sink, committing = Sink(), asyncio.Event()

    async def emit(batch) -> None:
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
