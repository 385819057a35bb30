"""Issues that do not come from a log, found by a real agent: ends of a watched process, crash loops, probes, patterns. One issue each."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from agent.testing.sentry_server import read_store
from tests.support import bugsink
from tests.support.agent_process import AgentProcess, wait_until
from tests.support.memory_cgroup import limited_cgroup
from tests.support.sentry import SentryProcess, agent_environment
from tests.support.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOG = "kept = []\nwhile True:\n    kept.append(bytearray(10_000_000))\n"
FATAL = "import faulthandler\nfaulthandler.enable()\ndef fall():\n    os.abort()\nfall()"
ENDS = {
    "segfault": ("os.kill(os.getpid(), 11)", ["SIGSEGV"], "crashed"),
    "exit 3": ("print('no funds', file=sys.stderr); sys.exit(3)", ["NonZeroExit"], "crashed"),
    "uncaught": ("def f():\n    return {}['price']\nf()", ["KeyError"], "crashed"),
    "fatal": (FATAL, ["FatalPythonError"], "crashed"),
    "killed": ("os.kill(os.getpid(), 9)", ["SIGKILL"], "abnormal"),
    "asked to": ("os.kill(os.getpid(), 15)", [], "exited"),
    "well": ("", [], "exited"),
}
CONFIG = """
service: {{name: strategy, attributes: {{service.version: "1"}}}}
sources: [{{type: log_files, include: ["{folder}/app.log"]}}]
probes: [{{type: tcp, name: venue, url: "tcp://127.0.0.1:{port}", interval: 0.3, timeout: 0.3}}]
errors: {{patterns: ["margin call"]}}
exporters: [{{type: sentry, dsn: "{dsn}"}}]
"""


@pytest.fixture
def sentry(tmp_path) -> Iterator[SentryProcess]:
    """A Sentry-like server."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        yield server


def seen(sentry: SentryProcess, type_: str = "event") -> list[dict]:
    """The accepted items of a type that are JSON."""
    return [json.loads(body) for kind, body in read_store(sentry.store) if kind == type_]


def types(sentry: SentryProcess) -> list[str]:
    """The types of the events, in their order."""
    return [event["exception"]["values"][-1]["type"] for event in seen(sentry)]


def box(sentry: SentryProcess) -> str:
    """The accepted attachments, as one text."""
    return "\n".join(body.decode() for kind, body in read_store(sentry.store) if kind == "attachment")


def watching(folder: Path, dsn: str, target: str) -> AgentProcess:
    """An agent that watches a target and reads its log."""
    environment = agent_environment(folder / "state", dsn, OUTRIDER_TARGET=target, OUTRIDER_LOG_FILES=str(folder / "app.log"))
    ours = ("SENTRY_", "OUTRIDER_", "OTEL_")
    more = {key: value for key, value in environment.items() if key.startswith(ours) and key != "OUTRIDER_STATE_DIR"}
    return AgentProcess(folder / "state", **more)


def statuses(sentry: SentryProcess) -> list[str]:
    """The statuses of sessions."""
    return [one["status"] for one in seen(sentry, "session")]


@pytest.mark.parametrize(("program", "wanted", "status"), ENDS.values(), ids=ENDS)
def test_the_end_of_a_watched_process(sentry, tmp_path, program, wanted, status):
    """Each end is at most one issue, of the right type, with the black box; its session begins once and ends once, as it should."""
    log = tmp_path / "app.log"
    log.write_text("about to go\n")
    with Target(program, log) as target, watching(tmp_path, sentry.dsn, f"pid:{target.pid}"):
        wait_until(lambda: statuses(sentry) == ["ok"], "a session")
        target.go()
        wait_until(lambda: len(statuses(sentry)) == 2, "the session's end")
        time.sleep(1)
    first, last = seen(sentry, "session")
    assert (types(sentry), first["sid"], last["status"]) == (wanted, last["sid"], status)
    assert "about to go" in box(sentry) if wanted else box(sentry) == ""


def test_a_watched_process_that_is_killed_for_its_memory(sentry, tmp_path):
    """An OOM kill of a watched process is one issue, by the proof of its cgroup, and its session has crashed."""
    with limited_cgroup() as cgroup:
        enter = f"echo $$ > {cgroup}/cgroup.procs;"
        with Target(HOG, tmp_path / "app.log", before=enter) as target, watching(tmp_path, sentry.dsn, f"pid:{target.pid}"):
            wait_until(lambda: statuses(sentry) == ["ok"], "a session")
            target.go()
            wait_until(lambda: len(statuses(sentry)) == 2, "the session's end")
            time.sleep(1)
    assert types(sentry) == ["OutOfMemoryKill"]
    assert statuses(sentry) == ["ok", "crashed"]
    assert "process.memory.usage" in box(sentry)


def test_kills_of_the_agent(sentry, tmp_path):
    """An agent that is killed while it watches, and one that was away when the process ended, lose no session and begin none twice."""
    with Target("os.kill(os.getpid(), 11)", tmp_path / "app.log") as target:
        for number in range(3):
            with watching(tmp_path, sentry.dsn, f"pid:{target.pid}") as agent:
                wait_until(lambda: statuses(sentry) == ["ok"], "a session")
                time.sleep(0.3 * number)
                agent.process.kill()
        target.go()
    with watching(tmp_path, sentry.dsn, f"pid:{target.pid}"):
        wait_until(lambda: len(statuses(sentry)) == 2, "the session's end")
    assert statuses(sentry) == ["ok", "abnormal"]
    assert len({one["sid"] for one in seen(sentry, "session")}) == 1


def loop(folder: Path, times: int) -> subprocess.Popen:
    """A supervisor that starts a program again and again."""
    program = folder / "trader-in-a-loop.py"
    program.write_text("import sys, time\ntime.sleep(2)\nsys.exit(3)\n")
    script = f"for n in $(seq {times}); do {sys.executable} {program}; done"
    return subprocess.Popen(["sh", "-c", script])


def test_a_crash_loop(sentry, tmp_path):
    """A process that fails again and again is one issue for how it ends, however often, and one for the loop."""
    with loop(tmp_path, 4) as supervisor, watching(tmp_path, sentry.dsn, r"name:^\S*python\S* \S*trader-in-a-loop") as agent:
        supervisor.wait()
        wait_until(lambda: "CrashLoop" in types(sentry), "the loop is told")
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(30) == 0
    ends = [event for event in seen(sentry) if event["exception"]["values"][-1]["type"] == "NonZeroExit"]
    assert len({tuple(event["fingerprint"]) for event in ends}) == 1
    assert sum(event["extra"]["occurrences"]["count"] for event in ends) in (3, 4)  # the first may have begun before the agent was ready
    assert types(sentry).count("CrashLoop") == 1
    assert len({one["sid"] for one in seen(sentry, "session") if one["init"]}) in (3, 4)


def test_a_probe_and_a_pattern(sentry, tmp_path):
    """A probe that goes down is one issue while it stays down; a record that a pattern finds is one, whatever its level; with the black box."""
    config, log = tmp_path / "outrider.yaml", tmp_path / "app.log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config.write_text(CONFIG.format(folder=tmp_path, port=listener.getsockname()[1], dsn=sentry.dsn))
        with AgentProcess(tmp_path / "state", "--config", str(config)):
            time.sleep(1)
            log.write_text("INFO all is well\nINFO margin call for 70 USD\nINFO all is well again\n")
            wait_until(lambda: types(sentry) == ["LogPattern"], "the pattern's find")
            listener.close()
            wait_until(lambda: types(sentry) == ["LogPattern", "ProbeDown"], "the probe's change")
            time.sleep(1.5)
    assert types(sentry) == ["LogPattern", "ProbeDown"]
    assert all(event["exception"]["values"][-1]["value"].startswith("strategy: ") for event in seen(sentry))
    assert "all is well" in box(sentry)


@pytest.mark.parametrize(("code", "wanted"), [(0, []), (3, ["NonZeroExit", "ProbeDown"])])
def test_a_watched_server_that_closes_its_port_before_it_ends(sentry, tmp_path, code, wanted):
    """While a server that has closed its port lives, its probe is not an issue yet; its end decides."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    closing, config = tmp_path / "closing", tmp_path / "outrider.yaml"
    program = f"""
import pathlib, socket, time
with socket.create_server(("127.0.0.1", {port})):
    while not pathlib.Path({str(closing)!r}).exists(): time.sleep(0.05)
time.sleep(3)
sys.exit({code})
"""
    with Target(program, tmp_path / "server.log") as target:
        target.go(wait=False)
        config.write_text(
            CONFIG.format(folder=tmp_path, port=port, dsn=sentry.dsn) + f"samplers: [{{type: process_tree, target: 'pid:{target.pid}'}}]\n"
        )
        with AgentProcess(tmp_path / "state", "--config", str(config)):
            wait_until(lambda: statuses(sentry) == ["ok"], "a session")
            time.sleep(1)
            closing.touch()
            time.sleep(2)
            assert types(sentry) == []
            wait_until(lambda: len(statuses(sentry)) == 2, "the session's end")
            time.sleep(1.5)
    assert sorted(types(sentry)) == wanted


def test_a_strict_server_shows_one_issue_each(tmp_path):
    """Bugsink, with its strict schema, has one issue for each of them."""
    (tmp_path / "bugsink").mkdir()
    with bugsink.running(tmp_path / "bugsink") as server:
        for name in ("segfault", "exit 3", "uncaught", "well"):
            folder = tmp_path / name.replace(" ", "-")
            folder.mkdir()
            with Target(ENDS[name][0], folder / "app.log") as target, watching(folder, server.dsn, f"pid:{target.pid}"):
                time.sleep(1)
                target.go()
                time.sleep(3)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        config = tmp_path / "outrider.yaml"
        config.write_text(CONFIG.format(folder=tmp_path, port=port, dsn=server.dsn))
        (tmp_path / "app.log").write_text("INFO margin call for 70 USD\n")
        with AgentProcess(tmp_path / "state", "--config", str(config)):
            wait_until(lambda: len(server.issues()) >= 5, "five issues")
            time.sleep(1)
        titles = {issue["calculated_type"]: issue["calculated_value"] for issue in server.issues()}
        events = [server.events(issue["id"]) for issue in server.issues()]
    assert sorted(some[0]["exception"]["values"][-1]["type"] for some in events) == [
        "KeyError",
        "LogPattern",
        "NonZeroExit",
        "ProbeDown",
        "SIGSEGV",
    ]
    assert [len(some) for some in events] == [1] * 5
    assert all(value.startswith("strategy: ") for type_, value in titles.items() if type_ != "KeyError")
