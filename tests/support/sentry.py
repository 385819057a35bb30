"""Shared by the tests of Sentry's parts: records from text, rows around envelopes, an agent process with a DSN."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Self

from agent.component import no_evictions
from agent.exporters.sentry import Sentry, SentryConfig
from agent.issues.envelope.format import EnvelopeItem, make
from agent.issues.reading.subject import Subject
from agent.parse.lines import Parser
from agent.record import LogRecord, Origin, Row, Signal
from agent.testing.context import make_context, no_positions
from agent.testing.exporters import make_row

CORPUS = Path(__file__).parents[1] / "golden" / "tracebacks"
SUBJECT = Subject("strategy", "host-1")
NOW_NS = 1_700_000_000_000_000_000


def records_of(data: bytes, key: str = "file:test", stream: str = "stderr") -> list[LogRecord]:
    """The records of a whole text."""
    parser, lines, offset = Parser("auto"), [], 0
    for line in data.removesuffix(b"\n").split(b"\n"):
        lines.append((offset, line))
        offset += len(line) + 1
    records, _ = parser.parse_chunk(lines, Origin(key, {"log.iostream": stream}), NOW_NS)
    return records + parser.flush(NOW_NS)


def corpus(pattern: str) -> list[tuple[str, LogRecord]]:
    """The error records of the corpus's files, each with its file's name."""
    found = []
    for file in sorted(CORPUS.glob(pattern)):
        found += [(file.name, record) for record in records_of(file.read_bytes(), f"file:{file}") if record.severity >= 17]
    return found


def event_row(
    body: bytes, event_id: str = "9ec79c33ec9942ab8353589fcb2e04dc", *extra: EnvelopeItem, seq: int = 1, service: str = "strategy"
) -> Row:
    """A stored row around an event's JSON."""
    return make_row(make([EnvelopeItem("event", body), *extra], service=service, event_id=event_id), signal=Signal.SENTRY_ERROR, seq=seq)


def exporter(dsn: str, *, clock=None, positions=no_positions, evicted=no_evictions, **options: object) -> Sentry:
    """An exporter to a DSN."""
    context = make_context("sentry", clock=clock, positions=positions)
    return Sentry(SentryConfig(dsn=dsn, **options), replace(context, evicted=evicted))


def agent_environment(state: Path, dsn: str, **more: str) -> dict[str, str]:
    """The environment of an agent process that has a Sentry destination."""
    return {
        **os.environ,
        "SENTRY_DSN": dsn,
        "OUTRIDER_STATE_DIR": str(state),
        "OUTRIDER_LISTEN": "127.0.0.1:0",
        "OTEL_SERVICE_NAME": "strategy",
        "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.2.3,deployment.environment.name=test",
        **more,
    }


def run_exec(command: list[str], env: dict[str, str], *, cwd: Path | None = None, seconds: float = 60) -> subprocess.CompletedProcess:
    """`outrider exec -- COMMAND`, to its end."""
    whole = [sys.executable, "-m", "agent", "exec", "--", *command]
    return subprocess.run(whole, env=env, cwd=cwd, capture_output=True, timeout=seconds, check=False)


class SentryProcess:
    """`with SentryProcess(file) as server`: a Sentry-like server as a process of its own, so that a test may wait for the agent."""

    def __init__(self, store: Path, port: int = 0) -> None:
        self.store, self.port = store, port

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "agent.testing.sentry_server", "--port", str(self.port), "--store", str(self.store)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    @property
    def dsn(self) -> str:
        """Where its only project is."""
        return f"http://key@127.0.0.1:{self.port}/1"
