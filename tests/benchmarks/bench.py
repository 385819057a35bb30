"""`make bench`: what a record costs, what an idle agent weighs, how long a line is on its way. One table, every record counted.

The work is the generated structlog lines of `work.py`. The agent runs on core 0, the server on core 1 and only stores bodies; they are decoded
afterwards, and a run that lost or repeated a record is not a result. With `OUTRIDER_BENCH_COLLECTOR` naming an OpenTelemetry Collector binary that
has the filelog receiver and the otlphttp exporter, the same work is given to it, alternately with ours, and the ratio is printed.

    python -m tests.benchmarks.bench [--lines 1000000] [--rounds 1] [--only throughput,idle,latency,start]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.testing.otlp_server import OtlpServer
from tests.benchmarks.work import lines
from tests.support.otlp_process import OtlpProcess

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Iterator, Mapping

    from agent.testing.otlp_server import Stored

AGENT_CORE, SERVER_CORE = 0, min(1, (os.cpu_count() or 1) - 1)
PEER = os.environ.get("OUTRIDER_BENCH_COLLECTOR")


@dataclass(frozen=True)
class Cost:
    """The resources that one process used for the whole work."""

    cpu: float
    """Seconds, user and system."""
    wall: float
    peak: float
    """MiB of resident memory."""


def main() -> None:
    """Measure what is asked for and print the table."""
    parser = argparse.ArgumentParser(description="What the agent costs.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="throughput,idle,latency")
    options = parser.parse_args()
    chosen = set(options.only.split(","))
    print(f"{platform.machine()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}, commit {commit()}")
    with tempfile.TemporaryDirectory(prefix="outrider-bench-") as scratch:
        if "throughput" in chosen:
            throughput(Path(scratch), options.lines, options.rounds)
        if "idle" in chosen:
            idle(Path(scratch))
        if "latency" in chosen:
            latency(Path(scratch))


def commit() -> str:
    """The commit that is measured."""
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def row(measure: str, value: str) -> None:
    """One line of the table."""
    print(f"  {measure:<58} {value}", flush=True)


# --- CPU per million lines -----------------------------------------------------------------------------------------------------------


def throughput(scratch: Path, count: int, rounds: int) -> None:
    """File → durable spool → OTLP/HTTP with gzip, acknowledged; ours and the peer's alternately."""
    log = scratch / "work.log"
    with log.open("wb") as file:
        for line in lines(7, count):
            file.write(line if line.endswith(b"\n") else line + b"\n")
    row("work", f"{count:,} structlog lines, {log.stat().st_size / 1e6:,.0f} MB")
    runs: dict[str, list[Cost]] = {"outrider": [], "collector": []}
    for number in range(rounds):
        runs["outrider"].append(measure(scratch / f"a{number}", log, count, outrider))
        if PEER:
            runs["collector"].append(measure(scratch / f"b{number}", log, count, collector))
    for name, costs in runs.items():
        if costs:
            cpu = statistics.median(cost.cpu for cost in costs) * 1e6 / count
            row(f"{name}: CPU seconds per 1,000,000 lines", f"{cpu:.1f}")
            row(
                f"{name}: lines a second · peak memory",
                f"{count / statistics.median(c.wall for c in costs):,.0f} · {costs[-1].peak:.0f} MiB",
            )
    if PEER:
        ratio = statistics.median(a.cpu / b.cpu for a, b in zip(runs["outrider"], runs["collector"], strict=True))
        row("outrider : collector, CPU", f"{ratio:.2f}")


def measure(folder: Path, log: Path, count: int, start: Callable[[Path, Path, str], list[str]]) -> Cost:
    """Run one agent over the work until the server has all of it; count every record."""
    folder.mkdir()
    with OtlpProcess(folder / "store", core=SERVER_CORE) as server:
        began = time.monotonic()
        process = spawn(start(folder, log, server.url))
        wall = wait_for_quiet(folder / "store") - began
        peak = high_water(process.pid)
        usage = end(process)
        arrived = [number for body in server.bodies() for number in numbers(body)]
    if sorted(arrived) != list(range(count)):
        raise SystemExit(f"no result: {len(arrived)} records arrived, {len(set(arrived))} different ones, of {count}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, peak)


def outrider(folder: Path, log: Path, url: str) -> list[str]:
    """The command line of our agent."""
    variables = {
        "OUTRIDER_LOG_FILES": str(log),
        "OUTRIDER_STATE_DIR": str(folder / "state"),
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{url}/v1/logs",
    }
    variables["OUTRIDER_LISTEN"] = "127.0.0.1:0"
    return agent_command(variables)


def agent_command(variables: Mapping[str, str]) -> list[str]:
    """`outrider run` with these variables."""
    return ["env", *(f"{key}={value}" for key, value in variables.items()), sys.executable, "-m", "agent", "run"]


def collector(folder: Path, log: Path, url: str) -> list[str]:
    """The command line of the peer, doing the same work."""
    settings = {
        "receivers": {
            "filelog": {
                "include": [str(log)],
                "start_at": "beginning",
                "operators": [
                    {
                        "type": "json_parser",
                        "timestamp": {
                            "parse_from": "attributes.timestamp",
                            "layout_type": "gotime",
                            "layout": "2006-01-02T15:04:05.999999Z",
                        },
                        "severity": {"parse_from": "attributes.level"},
                    }
                ],
            }
        },
        "exporters": {"otlphttp": {"logs_endpoint": f"{url}/v1/logs", "compression": "gzip", "sending_queue": {"block_on_overflow": True}}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "error"}},
            "pipelines": {"logs": {"receivers": ["filelog"], "exporters": ["otlphttp"]}},
        },
    }
    path = folder / "collector.yaml"
    path.write_text(json.dumps(settings))
    return [str(PEER), "--config", str(path)]


def spawn(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command on the agent's core."""
    return subprocess.Popen(["taskset", "-c", str(AGENT_CORE), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_quiet(store: Path, quiet: float = 3.0, longest: float = 900.0) -> float:
    """Wait until the server has received something and then nothing for `quiet` seconds; return when the last of it came (monotonic)."""
    size, since, begin = 0, time.monotonic(), time.monotonic()
    while time.monotonic() - begin < longest:
        now = store.stat().st_size if store.exists() else 0
        if now != size:
            size, since = now, time.monotonic()
        elif size and time.monotonic() - since > quiet:
            return since
        time.sleep(0.1)
    raise SystemExit("no result: the work was not done in time")


def end(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Stop a process and return what the kernel says it used."""
    process.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def numbers(body: bytes) -> Iterator[int]:
    """The running numbers of the records of a request."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    for resource_logs in ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource_logs.scope_logs:
            for record in scope.log_records:
                yield next(int(pair.value.int_value or pair.value.double_value) for pair in record.attributes if pair.key == "n")


# --- idle and start ------------------------------------------------------------------------------------------------------------------


def idle(scratch: Path, seconds: float = 30.0) -> None:
    """Files, a probe, a process tree, OTLP and /metrics, with nothing to do."""
    log = scratch / "idle.log"
    log.write_bytes(next(iter(lines(7, 1))).rstrip(b"\n") + b"\n")
    listen = "127.0.0.1:19464"
    with OtlpProcess(scratch / "idle-store", core=SERVER_CORE) as server:
        variables = {
            "OUTRIDER_TARGET": f"pid:{os.getpid()}",
            "OUTRIDER_PROBES": f"tcp://127.0.0.1:{server.port}",
            "OUTRIDER_LISTEN": listen,
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OUTRIDER_LOG_FILES": str(log),
            "OUTRIDER_STATE_DIR": str(scratch / "idle"),
        }
        began = time.monotonic()
        process = spawn(agent_command(variables))
        row("start to ready", f"{wait_ready(f'http://{listen}/readyz') - began:.2f} s")
        time.sleep(10)
        before = cpu_seconds(process.pid)
        time.sleep(seconds)
        row("idle CPU", f"{(cpu_seconds(process.pid) - before) / seconds * 100:.2f} % of a core")
        row("idle memory (RSS), never scraped", f"{resident(process.pid):.1f} MiB")
        with urllib.request.urlopen(f"http://{listen}/metrics", timeout=5) as page:
            page.read()
        row("idle memory (RSS), scraped", f"{resident(process.pid):.1f} MiB")
        end(process)


def wait_ready(url: str, longest: float = 20.0) -> float:
    """The monotonic time of the first 200."""
    begin = time.monotonic()
    while time.monotonic() - begin < longest:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return time.monotonic()
        except OSError:
            time.sleep(0.01)
    raise SystemExit("no result: the agent was not ready in time")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def high_water(pid: int) -> float:
    """The most resident memory so far in MiB (VmHWM, proc_pid_status(5)); `ru_maxrss` would count what we had when we forked."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def resident(pid: int) -> float:
    """Resident memory in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- latency -------------------------------------------------------------------------------------------------------------------------


class TimedServer(OtlpServer):
    """Notes when it took each request."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def _keep(self, stored: Stored) -> None:
        super()._keep(stored)
        self.times.append(time.time())


def latency(scratch: Path, rate: int = 1000, seconds: int = 20) -> None:
    """From the write of a line to the acceptance of its request."""
    log = scratch / "latency.log"
    log.touch()
    written: list[float] = []
    ready, over = threading.Event(), threading.Event()
    server = TimedServer()
    thread = threading.Thread(target=lambda: asyncio.run(serve(server, ready, over)))
    thread.start()
    ready.wait()
    process = spawn(outrider(scratch / "latency", log, f"http://127.0.0.1:{server.port}"))
    time.sleep(2)
    with log.open("ab", buffering=0) as file:
        begin = time.monotonic()
        for number, line in enumerate(lines(7, rate * seconds)):
            file.write(line.rstrip(b"\n") + b"\n")
            written.append(time.time())
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
    time.sleep(2)
    end(process)
    over.set()
    thread.join()
    arrivals = zip(server.times, server.accepted, strict=True)
    waits = sorted(at - written[number] for at, stored in arrivals for number in numbers(stored.unpacked()))
    if len(waits) != rate * seconds:
        raise SystemExit(f"no result: {len(waits)} records arrived of {rate * seconds}")
    p50, p99 = (waits[len(waits) * share // 100] * 1000 for share in (50, 99))
    row(f"line written → accepted at {rate:,} lines/s, p50 · p99", f"{p50:.0f} ms · {p99:.0f} ms")


async def serve(server: OtlpServer, ready: threading.Event, over: threading.Event) -> None:
    """Run a server on a thread's own loop until it is stopped."""
    async with server:
        ready.set()
        await asyncio.to_thread(over.wait)


if __name__ == "__main__":
    main()
