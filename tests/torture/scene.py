"""Where a torture plays: log files, a state directory, an oracle, a server, and one agent at a time that may be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.crash import CRASH_LOG, read_crash_log
from agent.host.control import NotRunningError, ask_json
from tests.support.agent_process import environment
from tests.torture.check import Verdict, judge
from tests.torture.oracle import WAYS, line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.otlp_process import OtlpProcess

BAD_SERVER = "ok:25,503:2,ok:25,429:2,ok:25,hang:1,ok:10,reset:1"
"""The server's reactions to the requests in turn, repeated for ever."""
STALLED = 15.0
"""Seconds without any progress after which nothing more will come."""


@dataclass(frozen=True)
class Load:
    """The records that the oracle issues."""

    seed: int
    count: int
    rate: int
    rotate_every: int
    ways: tuple[str, ...] = WAYS


class Scene:
    """A folder with everything. `agent` is how Python is asked to run it: ours, or one with a seeded bug."""

    endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    """The variable that says where to send, and what stands behind the server's URL there."""

    def __init__(self, folder: Path, load: Load, server: OtlpProcess, *agent: str) -> None:
        self.folder = folder
        self.logs, self.state, self.journal = folder / "logs", folder / "state", folder / "journal"
        self.logs.mkdir(parents=True)
        self.load = load
        self.server = server
        self.crash_log = folder / "crash"
        self.kills = 0
        self._agent = agent or ("agent",)
        self._errors = folder / "agent.log"

    def start_oracle(self) -> subprocess.Popen[bytes]:
        """The process that issues the records, until it has issued all of them or `end_oracle`."""
        load = self.load
        numbers = {"--seed": load.seed, "--count": load.count, "--rate": load.rate, "--rotate-every": load.rotate_every}
        options = [part for key, value in numbers.items() for part in (key, str(value))]
        places = ["--dir", str(self.logs), "--journal", str(self.journal), "--ways", ",".join(load.ways)]
        command = [sys.executable, "-m", "tests.torture.oracle", *places, *options]
        return subprocess.Popen(command, env=environment(self.state))

    def end_oracle(self, oracle: subprocess.Popen[bytes]) -> None:
        """Have no more issued than is needed; it ends behind a whole burst."""
        self.journal.with_name("stop").touch()
        oracle.wait()

    def start_agent(self, *, config: str = "", **extra: str) -> subprocess.Popen[bytes]:
        """The agent, with the crash log on, and with these variables."""
        usual = {
            "OUTRIDER_LOG_FILES": str(self.logs / "*.log"),
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
            self.endpoint[0]: self.server.url + self.endpoint[1],
            CRASH_LOG: str(self.crash_log),
        }
        variables = environment(self.state, **usual | extra)
        command = [sys.executable, "-m", *self._agent, "run", *(["--config", config] if config else [])]
        with self._errors.open("ab") as errors:
            return subprocess.Popen(command, env=variables, stderr=errors, stdout=errors)

    def introduce(self) -> None:
        """Let an agent see the (empty) files once: files that are rotated away before they were ever seen are not promised."""
        for way in self.load.ways:
            (self.logs / f"{way}.log").touch()
        agent = self.start_agent()
        self.wait_ready()
        wait_until(lambda: self.crash_log.exists() and self.landed() == "tail.after_emit", 5.0)
        agent.kill()
        agent.wait()

    def kill(self, agent: subprocess.Popen[bytes]) -> str:
        """Kill the agent; return the point that it passed last."""
        agent.kill()
        self.count_kill(agent)
        return self.landed()

    def count_kill(self, agent: subprocess.Popen[bytes], longest: float | None = None) -> bool:
        """Wait for the agent's end; whether it was killed, by us or by itself."""
        killed = agent.wait(timeout=longest) == -signal.SIGKILL
        self.kills += killed
        return killed

    def landed(self) -> str:
        """The point the agent passed last before it died."""
        return read_crash_log(self.crash_log.read_bytes())[0] if self.crash_log.exists() else "before the first point"

    def obligations(self) -> dict[str, int]:
        """How many records of each file the source has, by the journal's last whole line."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return dict(json.loads(lines[-1])) if lines else dict.fromkeys(self.load.ways, 0)

    def add_fresh(self) -> dict[str, int]:
        """Issue one more record in every file: it must pass when all faults have ended."""
        promised = self.obligations()
        for way in self.load.ways:
            with (self.logs / f"{way}.log").open("ab", buffering=0) as file:
                file.write(line(self.load.seed, way, promised[way]))
            promised[way] += 1
        with self.journal.open("a") as journal:
            journal.write(json.dumps(promised) + "\n")
        return promised

    def ask(self) -> Mapping[str, object] | None:
        """The agent's status, None while no agent answers."""
        try:
            status = ask_json(self.state, "/status.json")
        except (NotRunningError, OSError):
            return None
        return status if isinstance(status, dict) else None

    def wait_ready(self, longest: float = 20.0) -> None:
        """Wait until an agent answers."""
        if not wait_until(lambda: self.ask() is not None, longest):
            raise SystemExit(f"the agent did not start: {self._errors.read_text()[-2000:]}")

    def wait_drained(self, promised: int, stalled: float = STALLED) -> Mapping[str, object] | None:
        """Wait until the agent has stored so many records and nothing is pending, or nothing moves any more; return its status."""
        last, moved, status = "", time.monotonic(), None
        while time.monotonic() - moved < stalled:
            time.sleep(0.1)
            status = self.ask() or status
            if drained(status, promised):
                return status
            figures = repr(status and progress(status))
            if figures != last:
                last, moved = figures, time.monotonic()
        return status

    def finish(self, oracle: subprocess.Popen[bytes] | None, stalled: float = STALLED) -> Verdict:
        """No more faults: let the oracle end, the agent drain, a fresh record pass; then judge."""
        agent = self.start_agent()
        self.wait_ready()
        if oracle is not None:
            oracle.wait()
        promised = self.add_fresh()
        status = self.wait_drained(sum(promised.values()), stalled)
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=30)
        return self.judge(promised, status)

    def judge(self, promised: Mapping[str, int], status: Mapping[str, object] | None) -> Verdict:
        """Ask the oracle. Every kill may repeat the one request that was under way, byte for byte."""
        verdict = judge(promised, self.server.bodies(), self.load.seed, resends=self.kills, counted=counted_losses(status))
        verdict.violations = list(status["violations"]) if status else ["the agent did not answer"]
        return verdict


def progress(status: Mapping[str, object]) -> list[object]:
    """The figures of log records that move as long as there is something to do."""
    stored = [(one["accepted"], one["drops"]) for one in status["sources"] if one["type"] == "log_files"]
    return [*stored, *((one["sent"], one["pending"]) for one in status["destinations"] if one["signal"] == "logs")]


def wait_until(true: object, longest: float) -> bool:
    """Wait for something; whether it came."""
    end = time.monotonic() + longest
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def drained(status: Mapping[str, object] | None, promised: int) -> bool:
    """Whether the agent has accepted at least so many records and sent all of them."""
    if status is None:
        return False
    accepted = sum(one["accepted"] for one in status["sources"] if one["type"] == "log_files")
    return accepted >= promised and all(one["pending"] == 0 for one in status["destinations"])


def counted_losses(status: Mapping[str, object] | None) -> int:
    """How many log records the agent says that it did not deliver."""
    if status is None:
        return 0
    return sum(one["dead_lettered"] + one["evicted"] for one in status["destinations"] if one["signal"] == "logs")
