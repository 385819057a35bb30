"""An orderly stop loses nothing that a kill would keep: what was written by then arrives, or is counted as unread."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from agent.testing.otlp_server import decode
from tests.support.agent_process import AgentProcess, environment, wait_until
from tests.support.cpu_share import half_a_processor
from tests.support.otlp_process import OtlpProcess
from tests.support.waiting import Waiting

pytestmark = pytest.mark.alone

LINE = '{"event":"line","n":1%06d,"level":"info","timestamp":"2026-03-01T12:00:00Z"}\n'
ONE_REQUEST = 10_000
"""Records in one at most."""
WORKLOAD = f"""
import sys
with open(sys.argv[1], "a") as file:
    file.writelines({LINE!r} % number for number in range(int(sys.argv[2])))
"""
SLOW_TO_END = f"""
import signal, sys, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
print("ready", flush=True)
while not told:
    time.sleep(0.01)
for number in range(20):
    with open(sys.argv[1], "a") as file:
        file.write({LINE!r} % number)
    time.sleep(0.1)
"""


@contextlib.contextmanager
def target(script, *arguments):
    """A workload that is ready; killed at the end if it still lives."""
    workload = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE)
    try:
        workload.stdout.readline()
        yield workload
    finally:
        workload.kill()
        workload.wait()
        workload.stdout.close()


def numbers(server):
    """The numbers of all lines that the server took, in the order they came."""
    found = []
    for body in server.bodies():
        for resource in decode("/v1/logs", body).resource_logs:
            for scope in resource.scope_logs:
                found += [pair.value.int_value - 1_000_000 for record in scope.log_records for pair in record.attributes if pair.key == "n"]
    return found


def stopped(agent):
    """The last report of the agent: (pending records, unread bytes)."""
    (last,) = (one for one in agent.events() if one["event"] == "agent stopped")
    return last["pending"], last["unread_bytes"]


def variables(log, server, **more):
    """The environment of an agent that follows one file."""
    return {"OUTRIDER_LOG_FILES": str(log), "OTEL_EXPORTER_OTLP_ENDPOINT": server.url, **more}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("grace", ["8s", "1s"])
def test_what_a_workload_wrote_in_its_last_second_arrives_or_is_counted(tmp_path, grace):
    """Workload and agent stop together, the workload first: 200,000 lines at half a processor, towards a destination that delays and refuses."""
    count, log = 200_000, tmp_path / "app.log"
    log.touch()
    with (
        half_a_processor() as confine,
        OtlpProcess(tmp_path / "store", plan="slow:4,503:1") as server,
        AgentProcess(tmp_path / "state", **variables(log, server, OUTRIDER_SHUTDOWN_GRACE=grace)) as agent,
    ):
        confine(agent.process.pid)
        subprocess.run([sys.executable, "-c", WORKLOAD, str(log), str(count)], check=True)
        began = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=60) == 0
        spent = time.monotonic() - began
        pending, unread = stopped(agent)
        found = numbers(server)

    assert found == list(range(len(found))), "in order, without a gap"
    total = len(found) + pending + unread // len(LINE % 0)
    assert count <= total <= count + ONE_REQUEST, "a request that was cut off may have arrived and waits all the same"
    assert spent < float(grace[:-1]) + 6
    print(f"{len(found)} arrived, {pending} stored, {unread} bytes unread after {spent:.1f} s")


def test_what_a_living_target_says_after_the_signal_arrives(tmp_path):
    """The target takes two seconds to end, and says more meanwhile."""
    log = tmp_path / "app.log"
    log.touch()
    with target(SLOW_TO_END, str(log)) as workload, OtlpProcess(tmp_path / "store") as server:
        with AgentProcess(tmp_path / "state", **variables(log, server, OUTRIDER_TARGET=f"pid:{workload.pid}")) as agent:
            wait_until(lambda: any(one["accepted"] for one in agent.status()["sources"]), "the target's beginning is a record")
            workload.terminate()
            agent.process.send_signal(signal.SIGTERM)
            assert agent.process.wait(timeout=20) == 0
        found = numbers(server)

    assert found == list(range(20))
    assert stopped(agent) == (0, 0)


def test_a_second_signal_ends_at_once(tmp_path):
    """The target lives on and there would be a minute; a second signal does not wait for it."""
    log = tmp_path / "app.log"
    log.touch()
    more = {"OUTRIDER_TARGET": f"pid:{os.getpid()}", "OUTRIDER_SHUTDOWN_GRACE": "60s"}
    with OtlpProcess(tmp_path / "store") as server, AgentProcess(tmp_path / "state", **variables(log, server, **more)) as agent:
        wait_until(lambda: any(one["accepted"] for one in agent.status()["sources"]), "the target's beginning is a record")
        agent.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "agent reads on" in agent.log_file.read_text(), "it says why it is still there")
        agent.process.send_signal(signal.SIGINT)
        began = time.monotonic()

        assert agent.process.wait(timeout=20) == 0
        assert time.monotonic() - began < 2.0


def test_a_record_that_is_open_at_the_end_is_stored(tmp_path):
    """The workload's last words are a traceback, which might have gone on."""
    log = tmp_path / "app.log"
    log.touch()
    with OtlpProcess(tmp_path / "store") as server, AgentProcess(tmp_path / "state", **variables(log, server)) as agent:
        log.write_text('Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\nValueError: last words\n')
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=20) == 0
        text = b"".join(server.bodies())

    assert b"last words" in text
    assert stopped(agent) == (0, 0)


@pytest.mark.parametrize("lives", [False, True])
def test_last_words_without_an_end_are_stored_if_the_target_has_ended(tmp_path, lives):
    """A line without an end may go on as long as what writes it lives: then it is counted as unread."""
    log = tmp_path / "app.log"
    log.touch()
    with contextlib.ExitStack() as stack:
        workload = stack.enter_context(target(SLOW_TO_END, str(tmp_path / "another")))
        server = stack.enter_context(OtlpProcess(tmp_path / "store"))
        more = {"OUTRIDER_TARGET": f"pid:{workload.pid}", "OUTRIDER_SHUTDOWN_GRACE": "1s"}
        agent = stack.enter_context(AgentProcess(tmp_path / "state", **variables(log, server, **more)))
        wait_until(lambda: any(one["accepted"] for one in agent.status()["sources"]), "the target's beginning is a record")
        log.write_text(LINE % 0 + "panic: last words")
        if not lives:
            workload.kill()
            workload.wait()
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=20) == 0
        text = b"".join(server.bodies())

    assert (b"last words" in text) == (not lives)
    assert stopped(agent) == (0, len("panic: last words") if lives else 0)


def test_what_stands_in_the_files_of_a_command_at_its_end_is_stored(tmp_path):
    """Also without an end of line: nothing will add one."""
    script = f"printf 'a line\\nlast words' >{tmp_path}/app.log; exit 3"
    command = [sys.executable, "-m", "agent", "exec", "--", "sh", "-c", script]
    with OtlpProcess(tmp_path / "store") as server:
        variables_ = environment(tmp_path / "state", **variables(tmp_path / "app.log", server))
        assert subprocess.run(command, env=variables_, timeout=30, check=False).returncode == 3
        text = b"".join(server.bodies())

    assert b"a line" in text
    assert b"last words" in text


def test_a_stop_during_a_reload_reads_to_the_end(tmp_path):
    """The present configuration has given up its sources and waits for a destination that is away; the next one reads on from there."""
    log = tmp_path / "app.log"
    log.touch()
    with (
        OtlpProcess(tmp_path / "store", plan="hang:100") as server,
        AgentProcess(tmp_path / "state", **variables(log, server, OTEL_METRICS_EXPORTER="none")) as agent,
    ):
        log.write_text(LINE % 0)
        wait_until(lambda: any(one["accepted"] for one in agent.status()["sources"]), "the file is followed")
        agent.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        with log.open("a") as file:
            file.writelines(LINE % number for number in range(1, 2000))
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=20) == 0

    assert stopped(agent) == (2000, 0)


STEADY = f"""
import sys, time
with open(sys.argv[1], "a", buffering=1) as file:
    for number in range(100_000):
        file.write({LINE!r} % number)
        if not number:
            print("ready", flush=True)
        time.sleep(0.02)
"""


def test_what_is_written_while_the_destination_has_its_time_is_counted(tmp_path):
    """A writer goes on through the whole grace and the drain, towards a destination that hangs: what is not stored by the end is unread."""
    log = tmp_path / "app.log"
    log.touch()
    more = {"OUTRIDER_SHUTDOWN_GRACE": "1s", "OTEL_METRICS_EXPORTER": "none"}
    with (
        OtlpProcess(tmp_path / "store", plan="hang:100") as server,
        target(STEADY, str(log)),
        AgentProcess(tmp_path / "state", **variables(log, server, **more)) as agent,
    ):
        wait_until(lambda: any(one["accepted"] for one in agent.status()["sources"]), "the file is followed")
        agent.process.send_signal(signal.SIGTERM)
        written = 0
        while agent.process.poll() is None:
            written = log.stat().st_size
            time.sleep(0.005)
    pending, unread = stopped(agent)

    assert unread / len(LINE % 0) > 1.0 / 0.02 / 2, "the drain is a second and more"
    assert 0 <= written - (pending * len(LINE % 0) + unread) < 30 * len(LINE % 0), "but for what came in the very last moment"


def test_a_native_sidecar_ends_within_two_seconds_although_its_destination_refuses(tmp_path):
    """Its pod gives it that at least (Kubernetes): all is stored, and nothing is waited for that has failed before and fails again."""
    log = tmp_path / "app.log"
    log.touch()
    refusing = {"OUTRIDER_LOG_FILES": str(log), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_METRICS_EXPORTER": "none"}
    with AgentProcess(tmp_path / "state", **refusing) as agent, Waiting(agent.process.pid) as waiting:
        log.write_text("".join(LINE % number for number in range(1000)))
        wait_until(lambda: any(one["state"] != "ok" for one in agent.status()["destinations"]), "the destination has failed")
        began = time.time_ns()
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(timeout=20) == 0
        ended = time.time_ns()

    assert stopped(agent) == (1000, 0)
    assert (ended - began - waiting.between(began, ended)) / 1e9 < 1.5
