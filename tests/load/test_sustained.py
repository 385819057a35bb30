"""Sustained load on the whole agent, bounded in count and time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.agent_process import AgentProcess, wait_until
from tests.support.otlp_process import OtlpProcess
from tests.torture.check import judge

RECORDS, RATE, SEED = 100_000, 5_000, 11
PEAK_MIB = 150


@pytest.mark.timeout(300)
def test_five_thousand_records_a_second_with_rotations(tmp_path):
    """100,000 records over four rotating files arrive once and in order, the ledger balances, and memory stays under 150 MiB."""
    logs, journal = tmp_path / "logs", tmp_path / "journal"
    logs.mkdir()
    for way in ("rename", "copytruncate", "gzip", "none"):
        (logs / f"{way}.log").touch()
    with (
        OtlpProcess(tmp_path / "store") as server,
        AgentProcess(tmp_path / "state", OUTRIDER_LOG_FILES=f"{logs}/*.log", OTEL_EXPORTER_OTLP_ENDPOINT=server.url) as agent,
    ):
        issue(logs, journal)
        wait_until(lambda: settled(agent.status()), "everything sent", longest=120)
        status = agent.status()
        peak = resident_peak(agent.process.pid)

        verdict = judge(json.loads(journal.read_text().splitlines()[-1]), server.bodies(), SEED)

    assert verdict.clean, str(verdict)
    assert verdict.arrived == RECORDS
    assert status["violations"] == []
    assert peak < PEAK_MIB


def issue(logs, journal):
    """Let the oracle write everything."""
    numbers = {"--seed": SEED, "--count": RECORDS, "--rate": RATE, "--rotate-every": 5_000}
    options = [text for key, value in numbers.items() for text in (key, str(value))]
    subprocess.run([sys.executable, "-m", "tests.torture.oracle", "--dir", str(logs), "--journal", str(journal), *options], check=True)


def settled(status):
    """Whether the agent has accepted all records and sent them."""
    accepted = sum(one["accepted"] for one in status["sources"] if one["type"] == "log_files")
    return accepted >= RECORDS and all(one["pending"] == 0 for one in status["destinations"])


def resident_peak(pid):
    """The most memory the process ever had resident, MiB (proc_pid_status(5), VmHWM)."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
