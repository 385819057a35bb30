"""`make torture`: kills at random and at every named point, rotations, a server that misbehaves; then the oracle is asked.

    random   one long load; the agent is killed after a random time and started again, so often as `--kills` says
    points   for every crash point a fresh load each; the agent kills itself at its n-th passage, n growing, `--points` times
    both     after the last kill the faults stop, the agent drains, a fresh record must pass, and the ledger must balance

Seeds are printed; `--seed` replays. The histogram tells at which point each kill found the agent: a thousand kills that all land in `epoll`
would prove nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.control import NotRunningError, ask_json
from agent.crash import CRASH_LOG, FAULT, POINTS, read_crash_log
from tests.support.otlp_process import OtlpProcess
from tests.torture.check import Verdict, judge
from tests.torture.oracle import WAYS, line

if TYPE_CHECKING:
    from collections.abc import Mapping

BAD_SERVER = "ok:25,503:2,ok:25,429:2,ok:25,hang:1,ok:10,reset:1"
"""What the server does with the requests in turn, for ever."""
REACHABLE = sorted(POINTS)


@dataclass(frozen=True)
class Load:
    """What the oracle is to issue."""

    seed: int
    count: int
    rate: int
    rotate_every: int
    ways: tuple[str, ...] = WAYS


class Scene:
    """A folder with log files, a state directory, an oracle, a server, and one agent at a time."""

    def __init__(self, folder: Path, load: Load, server: OtlpProcess, module: str = "agent") -> None:
        self.logs, self.state, self.journal = folder / "logs", folder / "state", folder / "journal"
        self.logs.mkdir(parents=True)
        self.load = load
        self.server = server
        self.crash_log = folder / "crash"
        self._module = module
        self._errors = folder / "agent.log"

    def start_oracle(self) -> subprocess.Popen[bytes]:
        """The process that issues the records."""
        load = self.load
        numbers = {"--seed": load.seed, "--count": load.count, "--rate": load.rate, "--rotate-every": load.rotate_every}
        options = [part for key, value in numbers.items() for part in (key, str(value))]
        places = ["--dir", str(self.logs), "--journal", str(self.journal), "--ways", ",".join(load.ways)]
        return subprocess.Popen([sys.executable, "-m", "tests.torture.oracle", *places, *options])

    def start_agent(self, **extra: str) -> subprocess.Popen[bytes]:
        """The agent, with the crash log on."""
        variables = {
            "OUTRIDER_LOG_FILES": str(self.logs / "*.log"),
            "OUTRIDER_STATE_DIR": str(self.state),
            "OUTRIDER_LISTEN": "127.0.0.1:0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.server.url,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
            CRASH_LOG: str(self.crash_log),
            **extra,
        }
        with self._errors.open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", self._module, "run"], env={**os.environ, **variables}, stderr=errors, stdout=errors
            )

    def introduce(self) -> None:
        """Let an agent see the (empty) files once, before anything is written: what is rotated away before it was ever seen is nobody's promise."""
        for way in self.load.ways:
            (self.logs / f"{way}.log").touch()
        agent = self.start_agent()
        wait_ready(self.state)
        time.sleep(1.0)
        agent.kill()
        agent.wait()

    def landed(self) -> str:
        """The point the agent passed last before it died."""
        return read_crash_log(self.crash_log.read_bytes())[0] if self.crash_log.exists() else "before the first point"

    def obligations(self) -> dict[str, int]:
        """How many records of each file the source has, by the journal's last whole line."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return dict(json.loads(lines[-1])) if lines else dict.fromkeys(self.load.ways, 0)

    def add_fresh(self) -> dict[str, int]:
        """Issue one more record in every file: what must pass after all faults are over."""
        promised = self.obligations()
        for way in self.load.ways:
            with (self.logs / f"{way}.log").open("ab", buffering=0) as file:
                file.write(line(self.load.seed, way, promised[way]))
            promised[way] += 1
        with self.journal.open("a") as journal:
            journal.write(json.dumps(promised) + "\n")
        return promised

    def wait_drained(self, promised: Mapping[str, int], longest: float = 120.0) -> object:
        """Wait until the agent has stored what was promised and nothing is pending; return its status."""
        begin, status = time.monotonic(), None
        while time.monotonic() - begin < longest:
            time.sleep(0.2)
            try:
                status = ask_json(self.state, "/status.json")
            except (NotRunningError, OSError):
                continue
            if drained(status, sum(promised.values())):
                return status
        return status

    def judge(self, promised: Mapping[str, int]) -> Verdict:
        """Ask the oracle."""
        return judge(promised, self.server.bodies(), self.load.seed)


def wait_ready(state: Path, longest: float = 20.0) -> None:
    """Wait until an agent answers in this state directory."""
    begin = time.monotonic()
    while time.monotonic() - begin < longest:
        try:
            ask_json(state, "/readyz")
        except (NotRunningError, OSError):
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the agent did not start")


def drained(status: object, promised: int) -> bool:
    """Whether the agent has accepted at least so many records and sent all of them."""
    if not isinstance(status, dict):
        return False
    accepted = sum(one["accepted"] for one in status["sources"] if one["type"] == "log_files")
    return accepted >= promised and all(one["pending"] == 0 for one in status["destinations"])


def random_kills(
    folder: Path, load: Load, kills: int, plan: str = BAD_SERVER, module: str = "agent"
) -> tuple[Verdict, list[str], Counter[str]]:
    """Kill at random times under load; return the verdict, the ledger's violations, and where the kills landed."""
    chance = random.Random(load.seed)
    landed: Counter[str] = Counter()
    folder.mkdir(parents=True, exist_ok=True)
    with OtlpProcess(folder / "store", plan=plan) as server:
        scene = Scene(folder, load, server, module)
        scene.introduce()
        oracle = scene.start_oracle()
        for _ in range(kills):
            agent = scene.start_agent()
            time.sleep(0.25 + chance.random() ** 2 * 1.5)  # the agent is ready after some 0.4 s: kill before, at, and after its start
            agent.kill()
            agent.wait()
            landed[scene.landed()] += 1
        return (*finish(scene, oracle), landed)


def at_point(folder: Path, load: Load, point: str, passages: int) -> tuple[Verdict, list[str], int]:
    """Let the agent kill itself at the 1st, 2nd, 4th … passage of a point; return the verdict, violations, and how often it did."""
    died = 0
    folder.mkdir(parents=True, exist_ok=True)
    with OtlpProcess(folder / "store", plan=BAD_SERVER) as server:
        scene = Scene(folder, load, server)
        scene.introduce()
        oracle = scene.start_oracle()
        for number in range(passages):
            agent = scene.start_agent(**{FAULT: f"{point}:{2 ** min(number, 6)}"})
            try:
                died += agent.wait(timeout=4.0) == -signal.SIGKILL
            except subprocess.TimeoutExpired:
                agent.send_signal(signal.SIGTERM)  # points of the end are passed now
                died += agent.wait(timeout=20.0) == -signal.SIGKILL
        return (*finish(scene, oracle), died)


def finish(scene: Scene, oracle: subprocess.Popen[bytes]) -> tuple[Verdict, list[str]]:
    """No more faults: let the oracle end, the agent drain, a fresh record pass; then judge."""
    agent = scene.start_agent()
    oracle.wait()
    promised = scene.add_fresh()
    status = scene.wait_drained(promised)
    agent.send_signal(signal.SIGTERM)
    agent.wait(timeout=30)
    violations = list(status["violations"]) if isinstance(status, dict) else ["the agent did not answer"]
    return scene.judge(promised), violations


def main() -> int:
    """Run what is asked for; the exit code says whether the promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="random kills under load")
    parser.add_argument("--points", type=int, default=20, help="passages at which the agent kills itself, per crash point")
    parser.add_argument("--rate", type=int, default=5000, help="records a second")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="outrider-torture-") as folder:
        kept = run_random(Path(folder) / "random", options) if options.kills else True
        return 0 if run_points(Path(folder) / "points", options) and kept else 1


def run_random(folder: Path, options: argparse.Namespace) -> bool:
    """The random part, told."""
    load = Load(options.seed, count=max(20_000, options.kills * options.rate), rate=options.rate, rotate_every=4 * options.rate)
    verdict, violations, landed = random_kills(folder, load, options.kills)
    print(f"{options.kills} random kills at {options.rate} records/s: {verdict} · ledger {violations or 'balanced'}")
    for point, count in landed.most_common():
        print(f"  {count:>5}  {point}")
    return verdict.clean and not violations


def run_points(folder: Path, options: argparse.Namespace) -> bool:
    """The named points, told one by one."""
    kept = True
    for number, point in enumerate(REACHABLE if options.points else ()):
        load = Load(options.seed + number, count=6000, rate=1500, rotate_every=700)
        verdict, violations, died = at_point(folder / point, load, point, options.points)
        print(f"{point:<28} died {died:>2} of {options.points}: {verdict} · ledger {violations or 'balanced'}", flush=True)
        kept = kept and verdict.clean and not violations
    return kept


if __name__ == "__main__":
    sys.exit(main())
