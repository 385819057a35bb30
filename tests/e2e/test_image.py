"""The sidecar's image beside a workload's, every restriction on: what it may, what it stores, how it ends, what a kill costs."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.containers import OUTRIDER, STRATEGY_AGENT

if TYPE_CHECKING:
    from typing import Any

pytestmark = pytest.mark.timeout(900)

LOGS = "/var/log/strategy-agent"
DEAD = "http://127.0.0.1:9"
"""The discard port, on which no process listens."""


class Pair:
    """A workload and the sidecar beside it, on one network and one log volume."""

    def __init__(self, engine: Any, network: str) -> None:
        self.engine = engine
        self.workload, self.sidecar = f"{network}-workload", f"{network}-sidecar"
        self._network, self._volume, self._state = network, f"{network}-logs", f"{network}-state"

    def start(self, *options: str) -> None:
        """Both, healthy; with these options for the sidecar."""
        self._run(self.workload, STRATEGY_AGENT, "--volume", f"{self._volume}:{LOGS}")
        self.engine.wait_until_healthy(self.workload)
        variables = {
            "OUTRIDER_LOG_FILES": f"{LOGS}/*.log",
            "OUTRIDER_TARGET": "name:strategy_agent run",
            "OUTRIDER_PROBES": f"http://{self.workload}:8090/health",
            "OTEL_EXPORTER_OTLP_ENDPOINT": DEAD,
        }
        environ = [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
        volumes = ("--volume", f"{self._volume}:{LOGS}:ro", "--volume", f"{self._state}:/var/lib/outrider")
        self._run(self.sidecar, OUTRIDER, *environ, *volumes, *options)
        self.engine.wait_until_healthy(self.sidecar)

    def _run(self, name: str, image: str, *options: str) -> None:
        self.engine.do("run", "--detach", "--name", name, *self.engine.restrictions(self._network), *options, image)

    def inside(self, *command: str) -> Any:
        """Run a command in the sidecar's container."""
        return self.engine.ask("exec", self.sidecar, *command)

    def status(self) -> Any:
        """`outrider status --json`."""
        return json.loads(self.engine.do("exec", self.sidecar, "outrider", "status", "--json"))

    def accepted(self) -> int:
        """Log records that are stored, since the spool exists."""
        return next(source["accepted"] for source in self.status()["sources"] if source["type"] == "log_files")

    def wait_for_more(self, count: int) -> None:
        """Wait until so many records more are stored."""
        wanted = self.accepted() + count
        self.engine.wait_until(lambda: self.accepted() >= wanted, f"{wanted} records", self.sidecar)

    def restart(self) -> None:
        """Start the sidecar again, on the state that is there."""
        self.engine.do("start", self.sidecar)
        self.engine.wait_until_healthy(self.sidecar)

    def written(self) -> list[int]:
        """The records that the workload has logged: the time of each line, in nanoseconds since the Unix epoch."""
        text = self.engine.do("exec", self.sidecar, "cat", f"{LOGS}/agent.log")
        return [nanoseconds(json.loads(line)["timestamp"]) for line in text.splitlines()]

    def stored(self) -> list[int]:
        """The records in the spool: the time of each."""
        rows = self.engine.do("exec", self.sidecar, "outrider", "spool", "export", "--signal", "logs")
        return [when for row in rows.splitlines() for when in times(json.loads(row))]


def nanoseconds(text: str) -> int:
    """An ISO 8601 time as nanoseconds since the Unix epoch, without the rounding of floats."""
    return (datetime.fromisoformat(text) - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000


def times(request: Any) -> list[int]:
    """The times of the records of an OTLP logs request, in OTLP/JSON."""
    scopes = [scope for resource in request["resourceLogs"] for scope in resource["scopeLogs"]]
    return [int(record["timeUnixNano"]) for scope in scopes for record in scope["logRecords"]]


@pytest.fixture
def pair(engine: Any, network: str) -> Pair:
    """A pair of containers, not started yet."""
    return Pair(engine, network)


def test_the_sidecar_does_its_work_with_no_right_at_all(pair: Pair) -> None:
    """As uid 65532 on a read-only root without capabilities it stores the log, asks /health and measures the processes."""
    pair.start("--pid", f"container:{pair.workload}")
    pair.wait_for_more(20)
    status = dict(line.split(":\t", 1) for line in pair.inside("cat", "/proc/self/status").stdout.splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["65532"] * 4
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    facts = pair.status()
    assert [(probe["state"], probe["success"]) for probe in facts["probes"]] == [("up", True)]
    figures = {figure["name"]: figure["value"] for figure in facts["figures"]}
    assert figures["outrider.target.processes"] == 1


def test_whoever_gets_in_changes_and_installs_nothing(pair: Pair) -> None:
    """The root file system refuses even root; the log volume is read only; there is no pip and no compiler."""
    pair.start()
    for user, folder in (("0", "/"), ("0", "/opt/outrider"), ("0", "/etc"), ("0", "/run"), ("65532", LOGS)):
        refused = pair.engine.ask("exec", "--user", user, pair.sidecar, "touch", f"{folder}/intruder")
        assert "Read-only file system" in refused.stderr
    for tool in ("pip", "pip3", "cc", "gcc", "make"):
        assert pair.inside("sh", "-c", f"command -v {tool}").stdout == ""
    for python in ("python", "/usr/bin/python3", "/usr/local/bin/python3"):
        assert pair.inside(python, "-c", "import pip").returncode != 0


def test_a_stop_loses_nothing_though_nobody_receives(pair: Pair) -> None:
    """SIGTERM with a dead destination: code 0 within seconds, and what was stored is there after the next start."""
    pair.start()
    pair.wait_for_more(20)
    before = pair.accepted()
    began = time.monotonic()
    pair.engine.do("stop", "--time", "20", pair.sidecar)
    assert time.monotonic() - began < 5
    assert pair.engine.state(pair.sidecar)["ExitCode"] == 0
    pair.restart()
    assert pair.accepted() >= before


def test_kills_store_every_line_once(pair: Pair) -> None:
    """Three times SIGKILL in the middle of the work; then the spool holds each line of the log once, and no other."""
    pair.start()
    for _ in range(3):
        pair.wait_for_more(15)
        pair.engine.do("kill", "--signal", "KILL", pair.sidecar)
        pair.engine.wait_until(lambda: pair.engine.state(pair.sidecar)["Status"] == "exited", "it is dead")
        pair.restart()
    pair.wait_for_more(15)
    pair.engine.do("kill", "--signal", "STOP", pair.workload)
    written = pair.written()
    pair.engine.wait_until(lambda: pair.accepted() >= len(written), f"{len(written)} records", pair.sidecar)
    assert Counter(pair.stored()) == Counter(written)
    assert pair.accepted() == len(written)


# ---------------------------------------------------------------- exec, as the container's first process


def wrapped(engine: Any, network: str, script: str) -> Any:
    """`outrider exec -- sh -c SCRIPT` as the only program of a container."""
    return engine.ask("run", "--rm", *engine.restrictions(network), OUTRIDER, "exec", "--", "sh", "-c", script)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)])
def test_exec_returns_the_commands_code(engine: Any, network: str, script: str, code: int) -> None:
    """The container's exit code is the command's, or 128 + the signal that ended it; its output passes through."""
    done = wrapped(engine, network, f"echo to-be-seen; {script}")
    assert (done.returncode, done.stdout) == (code, "to-be-seen\n")


def test_exec_reaps_orphans(engine: Any, network: str) -> None:
    """As PID 1 it adopts orphans, and leaves no zombies."""
    script = "for i in 1 2 3; do (sleep 0.2 & ) ; done; sleep 1.5; grep -h State /proc/[0-9]*/status"
    done = wrapped(engine, network, script)
    assert done.returncode == 0
    assert "State:" in done.stdout
    assert "zombie" not in done.stdout


def test_a_stop_reaches_the_command(engine: Any, network: str) -> None:
    """The engine's SIGTERM is the command's; the command's answer to it is the container's."""
    name = f"{network}-exec"
    script = "trap 'echo asked to stop; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    engine.do("run", "--detach", "--name", name, *engine.restrictions(network), OUTRIDER, "exec", "--", "sh", "-c", script)
    engine.wait_until(lambda: "ready" in engine.do("logs", name), "the command runs", name)
    engine.do("stop", "--time", "20", name)
    assert engine.state(name)["ExitCode"] == 5
    assert "asked to stop" in engine.do("logs", name)
