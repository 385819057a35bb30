"""`make run`: the strategy agent under Outrider's eyes, on this machine alone.

Starts `outrider exec -- python -m strategy_agent …` with a flash crash, a broker failure and a caught exception in the first minute, prints
the address of the status page, and tells every few seconds what Outrider knows by now. Ends with Ctrl-C, or after `--seconds`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = ROOT / "deploy" / "strategy-agent"
CONFIG = Path(__file__).with_name("outrider.yaml")
FAULTS = ("--fault", "broker-down@20s:10s", "--fault", "error-burst@8s:1")


def main() -> int:
    """Run the demo; return the exit code of `outrider exec`."""
    parser = argparse.ArgumentParser(description="The strategy agent under Outrider's eyes.")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end by itself after so long")
    parser.add_argument("--seed", default="7", help="of the market and of every fault")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    with tempfile.TemporaryDirectory(prefix="outrider-demo-") as scratch:
        return watch(Path(scratch), options.seed, options.seconds)


def interrupt(_number: int, _frame: object) -> None:
    """End as by Ctrl-C: with the workload stopped and everything that was written removed."""
    raise KeyboardInterrupt


def watch(scratch: Path, seed: str, seconds: float) -> int:
    """Start the workload under `outrider exec`, tell what is seen, stop it."""
    page, health = free_address(9464), free_address(8080)
    output = scratch / "output.log"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command(seed, health), cwd=WORKLOAD, env=environment(scratch, page, health), stdout=sink, stderr=subprocess.STDOUT
        )
    print(f"\n  status page   http://{page}/\n  metrics       http://{page}/metrics\n  end           Ctrl-C\n", flush=True)
    try:
        tell_until_end(process, page, scratch / "state", time.monotonic() + seconds)
    except KeyboardInterrupt:
        print("\n  stopping …", flush=True)
    return stop(process, output)


def command(seed: str, health: str) -> list[str]:
    """The command line of the wrapped workload."""
    port = health.rpartition(":")[2]
    workload = [sys.executable, "-m", "strategy_agent", "run", "--scenario", "flash-crash", "--seed", seed, "--rate", "200"]
    return [sys.executable, "-m", "agent", "exec", "--config", str(CONFIG), "--", *workload, "--port", port, *FAULTS]


def environment(scratch: Path, page: str, health: str) -> dict[str, str]:
    """The part of the configuration that differs from run to run; the rest is `outrider.yaml` beside this file."""
    return {
        **os.environ,
        "OUTRIDER_STATE_DIR": str(scratch / "state"),
        "DEMO_LISTEN": page,
        "DEMO_HEALTH": f"http://{health}/health",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(WORKLOAD)]),
    }


def free_address(wanted: int) -> str:
    """The wanted loopback port, or any free one if it is in use."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return f"127.0.0.1:{probe.getsockname()[1]}"
    raise SystemExit("no free port on loopback")


def tell_until_end(process: subprocess.Popen[bytes], page: str, state: Path, end: float) -> None:
    """Every five seconds: records, the workload's figures, the newest record, and each exception once."""
    told = 0
    while process.poll() is None and time.monotonic() < end:
        time.sleep(min(5.0, max(0.0, end - time.monotonic())))
        figures = metrics(page)
        records = exceptions(state)
        print(f"  {time.strftime('%H:%M:%S')}  {summary(figures)}", flush=True)
        for record in records[told:][:3]:
            print(f"            {record}", flush=True)
        told = max(told, len(records))


def metrics(page: str) -> dict[str, float]:
    """The samples of /metrics, label sets added up per name."""
    try:
        with urllib.request.urlopen(f"http://{page}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, OSError):
        return {}
    sums: dict[str, float] = {}
    for line in lines:
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def summary(figures: dict[str, float]) -> str:
    """One line of what is known."""
    if not figures:
        return "starting …"
    parts = [
        f"{figures.get('outrider_records_accepted_total', 0):,.0f} records stored",
        f"health probe {'up' if figures.get('probe_success') else 'DOWN'}",
        f"CPU {figures.get('process_cpu_time_seconds_total', 0):.1f} s",
        f"memory {figures.get('process_memory_usage_bytes', 0) / 2**20:.0f} MiB",
        f"{figures.get('process_threads', 0):.0f} threads",
    ]
    return " · ".join(parts)


def exceptions(state: Path) -> list[str]:
    """The records of level error in `outrider logs`: the event, and the exception's type and message."""
    answer = subprocess.run(
        [sys.executable, "-m", "agent", "logs", "--state-dir", str(state), "--severity", "error", "--json"],
        capture_output=True,
        cwd=ROOT,
        check=False,
        timeout=20,
    )
    return [one_line(json.loads(line)) for line in answer.stdout.splitlines() if line.startswith(b"{")]


def one_line(record: dict[str, object]) -> str:
    """An error record as a person wants to see it in a terminal."""
    attributes = record.get("attributes")
    details = attributes if isinstance(attributes, dict) else {}
    kind = details.get("exception.type") or ""
    stack = details.get("exception")
    if isinstance(stack, list) and stack and isinstance(stack[0], dict):
        kind = f"{stack[0].get('exc_type')}: {stack[0].get('exc_value')}"
    return f"⚠ {record.get('body')}{'  — ' + str(kind) if kind else ''}"[:150]


def stop(process: subprocess.Popen[bytes], output: Path) -> int:
    """Ask it to end; if it failed, show why."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if code not in (0, 143):
        print(output.read_bytes()[-2000:].decode(errors="replace"), file=sys.stderr)
    print(f"  the workload ended with code {code}")
    return 0 if code in (0, 143) else code


if __name__ == "__main__":
    sys.exit(main())
