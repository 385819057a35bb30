"""Each fault, in a process of its own: it does what it says, and only that."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import cast

import pytest

from tests.support import AgentProcess, events_of

QUICK = ("--rate", "500", "--scenario", "quiet")


def test_without_a_fault_nothing_is_wrong() -> None:
    """The measure for all others: no error, no lost broker, ticks to the end."""
    with AgentProcess(*QUICK) as agent:
        agent.wait_for("heartbeat")
        assert agent.terminate() == (0, "")
        wrong = [line for line in agent.lines if line["level"] in ("warning", "error")]
        assert not [line for line in wrong if line.get("reason") != "shutdown"]  # an order may be under way at the end
        assert events_of(agent.lines, "heartbeat")[-1]["tick_age"] is not None


def test_hang_blocks_everything_and_passes() -> None:
    """While it hangs /health does not answer; afterwards it does, and trading goes on."""
    with AgentProcess(*QUICK, "--fault", "hang@300ms:900ms") as agent:
        agent.wait_for("fault_injected")
        with pytest.raises(TimeoutError):
            agent.health(timeout=0.5)
        agent.wait_for("fault_over")
        agent.gets_beyond(agent.ticks())
        assert agent.terminate() == (0, "")
        assert not [line for line in agent.lines if line["event"] in {"stream_disconnected", "broker_unreachable"}]


def test_hang_for_ever_ignores_sigterm() -> None:
    """A hung loop does not stop when asked; only SIGKILL ends it."""
    with AgentProcess(*QUICK, "--fault", "hang@50ms") as agent:
        agent.wait_for("fault_injected")
        agent._process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert agent._process.poll() is None


def test_crash_is_a_traceback_and_exit_code_1() -> None:
    """The process dies by an unhandled exception, said on standard error and not in the log."""
    with AgentProcess(*QUICK, "--fault", "crash@50ms") as agent:
        code, errors = agent.end()
        assert not events_of(agent.lines, "service_stopped")
    assert code == 1
    assert errors.startswith("Traceback (most recent call last):\n")
    assert errors.endswith("strategy_agent.faults.InjectedCrashError: crash on demand\n")


def test_a_crash_is_in_the_log_file(tmp_path: Path) -> None:
    """Who reads nothing but the file learns of it, with its exception."""
    file = tmp_path / "agent.log"
    with AgentProcess(*QUICK, "--log-file", str(file), "--fault", "crash@50ms") as agent:
        assert agent.end()[0] == 1
    last = json.loads(file.read_text().splitlines()[-1])
    assert (last["level"], last["event"]) == ("critical", "service_crashed")
    assert last["exception"][0]["exc_type"] == "InjectedCrashError"


def test_oom_grows_to_its_cap_and_dies_of_it() -> None:
    """Memory rises by about the cap, then a MemoryError ends the process; /health answers while it grows."""
    with AgentProcess(*QUICK, "--fault", "oom@50ms:256") as agent:
        before = agent.resident_mb()
        agent.wait_for("fault_injected")
        peak = before
        assert agent.health(timeout=15.0)["status"] == "ok"
        while agent._process.poll() is None and peak < before + 120:
            peak = max(peak, agent.resident_mb())
            time.sleep(0.005)
        code, errors = agent.end()
    assert code == 1
    assert peak >= before + 120
    assert errors.endswith("MemoryError: gave up at 256 MB\n")


def test_stall_stops_progress_but_not_health() -> None:
    """/health answers with the same old tick while it lasts; afterwards ticks go on and none was lost."""
    with AgentProcess(*QUICK, "--fault", "stall@300ms:1s") as agent:
        agent.wait_for("fault_injected")
        time.sleep(0.1)
        first = agent.health()
        time.sleep(0.3)
        second = agent.health()
        agent.wait_for("fault_over")
        agent.gets_beyond(cast(int, second["ticks"]))
        lost = agent.count("frames_lost") + agent.count("stream_disconnected")
    assert (first["status"], second["status"]) == ("ok", "ok")
    assert (first["last_tick_at"], first["ticks"]) == (second["last_tick_at"], second["ticks"])
    assert lost == 0


def test_error_burst_is_logged_and_survived() -> None:
    """The asked number of caught exceptions is in the log with typed tracebacks; trading goes on."""
    with AgentProcess(*QUICK, "--fault", "error-burst@300ms:7") as agent:
        agent.wait_for("fault_over")
        burst = events_of(agent.lines, "reconciliation_failed")
        agent.gets_beyond(agent.ticks())
        assert agent.terminate() == (0, "")
        assert events_of(agent.lines, "reconciliation_failed") == burst
    assert [line["number"] for line in burst] == [1, 2, 3, 4, 5, 6, 7]
    assert all(line["level"] == "error" and line["exception"] for line in burst)


def test_broker_down_takes_the_first_broker_for_its_time() -> None:
    """Its streams drop, it is refused, the feed moves over, and it comes back; the other one stays up."""
    with AgentProcess(*QUICK, "--fault", "broker-down@300ms:500ms") as agent:
        agent.wait_for("stream_disconnected", broker="alpha", reason="dropped")
        agent.wait_for("broker_unreachable", broker="alpha")
        agent.wait_for("stream_connected", broker="beta", topic="ticks")
        assert agent.health()["brokers"] == {"alpha": False, "beta": True}
        agent.wait_for("broker_reachable", broker="alpha")
        assert agent.terminate() == (0, "")
        assert not [line for line in events_of(agent.lines, "stream_disconnected") if line["broker"] == "beta"]
