"""The conformance suite over every row of the registry. A new row needs a case here: what it reads, or where it sends."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from agent import registry
from agent.encode.otlp_logs import LogEncoder
from agent.exporters.console import Console, ConsoleConfig
from agent.record import LogRecord, Origin, Severity, Signal
from agent.registry import Kind
from agent.sources.stdin import Stdin, StdinConfig
from agent.testing import conformance
from agent.testing.conformance import (
    EXPORTER_CHECKS,
    PROBE_CHECKS,
    SAMPLER_CHECKS,
    SOURCE_CHECKS,
    ExporterCase,
    ProbeCase,
    SamplerCase,
    SourceCase,
)
from agent.testing.exporters import make_row
from agent.testing.http_faults import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LINES = [f"line {number}" for number in range(3000)]
CHECKS = {Kind.SOURCE: SOURCE_CHECKS, Kind.SAMPLER: SAMPLER_CHECKS, Kind.PROBE: PROBE_CHECKS, Kind.EXPORTER: EXPORTER_CHECKS}


def maker(kind: Kind, name: str, **options: object):
    """Makes a component of a registered type from a context."""
    found = registry.load(kind, name)
    return lambda context: found(found.Config.model_validate(options), context)


def log_row():
    """A stored row with one log record."""
    record = LogRecord(1, 2, Severity.INFO, "info", "hello", {}, Origin("o"), 0)
    return make_row(LogEncoder({"service.name": "shop"}).encode([record]))


@contextlib.asynccontextmanager
async def log_files(tmp_path: Path) -> AsyncIterator[SourceCase]:
    """A file that ends within a line."""
    file = tmp_path / "app.log"

    def feed() -> None:
        file.write_text("".join(f"{line}\n" for line in LINES) + "not yet com")

    yield SourceCase(maker(Kind.SOURCE, "log_files", include=[str(file)], poll_interval=0.01), feed, LINES)


@contextlib.asynccontextmanager
async def stdin(tmp_path: Path) -> AsyncIterator[SourceCase]:
    """A pipe that is written and closed."""
    read, write = os.pipe()
    pending = [write]

    def feed() -> None:
        os.write(write, "\n".join(LINES).encode())
        os.close(pending.pop())

    yield SourceCase(lambda context: Stdin(StdinConfig(), context, read), feed, LINES)
    for fd in [read, *pending]:
        os.close(fd)


@contextlib.asynccontextmanager
async def process_tree(tmp_path: Path) -> AsyncIterator[SamplerCase]:
    """The test itself."""
    yield SamplerCase(maker(Kind.SAMPLER, "process_tree", target=f"pid:{os.getpid()}"))


@contextlib.contextmanager
def silence() -> Iterator[int]:
    """The port of a server that takes connections and never reads: so it leaves nothing in this process that could be mistaken for a leak."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextlib.asynccontextmanager
async def http(tmp_path: Path) -> AsyncIterator[ProbeCase]:
    """A server that never answers."""
    with silence() as port:
        yield ProbeCase(maker(Kind.PROBE, "http", url=f"http://127.0.0.1:{port}"))


@contextlib.asynccontextmanager
async def tcp(tmp_path: Path) -> AsyncIterator[ProbeCase]:
    """A server that never says what is expected of it."""
    with silence() as port:
        yield ProbeCase(maker(Kind.PROBE, "tcp", url=f"tcp://127.0.0.1:{port}", expect="hello"))


@contextlib.asynccontextmanager
async def otlp_http(tmp_path: Path) -> AsyncIterator[ExporterCase]:
    """One server that accepts, one that never answers."""
    with silence() as port:
        async with FaultServer() as server:
            make, hanging = (maker(Kind.EXPORTER, "otlp_http", endpoint=url) for url in (server.url, f"http://127.0.0.1:{port}"))
            yield ExporterCase(make, log_row(), hanging)


@contextlib.asynccontextmanager
async def sentry(tmp_path: Path) -> AsyncIterator[ExporterCase]:
    """One server that accepts, one that never answers."""
    envelope = b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}\n{"type":"event"}\n{"message":"x"}\n'
    with silence() as port:
        async with FaultServer() as server:
            make, hanging = (maker(Kind.EXPORTER, "sentry", dsn=f"http://key@127.0.0.1:{number}/1") for number in (server.port, port))
            yield ExporterCase(make, make_row(envelope, signal=Signal.SENTRY_ERROR), hanging)


@contextlib.asynccontextmanager
async def console(tmp_path: Path) -> AsyncIterator[ExporterCase]:
    """A file, and a pipe that is full."""
    file = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 65536)

    def make(fd: int):
        return lambda context: Console(ConsoleConfig(), context, {"stdout": fd})

    yield ExporterCase(make(file), log_row(), make(write))
    for fd in (file, read, write):
        os.close(fd)


@contextlib.asynccontextmanager
async def file(tmp_path: Path) -> AsyncIterator[ExporterCase]:
    """A directory that is not there yet."""
    yield ExporterCase(maker(Kind.EXPORTER, "file", directory=tmp_path / "out"), log_row())


CASES = {
    (Kind.SOURCE, "log_files"): log_files,
    (Kind.SOURCE, "stdin"): stdin,
    (Kind.SAMPLER, "process_tree"): process_tree,
    (Kind.PROBE, "http"): http,
    (Kind.PROBE, "tcp"): tcp,
    (Kind.EXPORTER, "otlp_http"): otlp_http,
    (Kind.EXPORTER, "sentry"): sentry,
    (Kind.EXPORTER, "console"): console,
    (Kind.EXPORTER, "file"): file,
}


def test_every_row_has_a_case():
    """No component is outside the suite."""
    assert set(CASES) == {(row.kind, row.type) for row in registry.rows()}


@pytest.mark.parametrize(
    ("key", "check"),
    [(key, check) for key in CASES for check in CHECKS[key[0]]],
    ids=lambda part: getattr(part, "__name__", None) or part[1],
)
async def test_conforms(key, check, tmp_path):
    """Each component starts and stops, stops twice, stops while the next stage hangs, leaks nothing, and loses nothing when it is refused."""
    async with CASES[key](tmp_path) as case:
        await conformance.run(check, case)
