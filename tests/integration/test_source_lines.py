"""Context lines are read from the file system of the process that failed, and only if the file is what it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from agent.testing.sentry_server import read_store
from tests.support.agent_process import AgentProcess, wait_until
from tests.support.sentry import SentryProcess, agent_environment, run_exec

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import logging, sys
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", filename=sys.argv[1])

def route(order):
    # before
    raise LookupError(order)
    # after

print("up", flush=True)
sys.stdin.read(1)
try:
    route("XYZ")
except LookupError:
    logging.exception("no route")
sys.stdin.read(1)
"""


@pytest.fixture
def sentry(tmp_path):
    """A Sentry-like server."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        yield server


def frames(sentry: SentryProcess) -> list[dict]:
    """The frames of the one event."""
    wait_until(lambda: any(kind == "event" for kind, _ in read_store(sentry.store)), "an event")
    (event,) = [json.loads(body) for kind, body in read_store(sentry.store) if kind == "event"]
    return event["exception"]["values"][-1]["stacktrace"]["frames"]


def test_the_command_of_exec(sentry, tmp_path):
    """A frame of a wrapped program has the lines around it, though the program is gone when its traceback is read."""
    program = tmp_path / "trader.py"
    program.write_text("def route(order):\n    # before\n    raise LookupError(order)\n    # after\n\nroute('XYZ')\n")
    run_exec([sys.executable, str(program)], agent_environment(tmp_path / "state", sentry.dsn))
    frame = frames(sentry)[-1]
    assert (frame["pre_context"][-1], frame["post_context"][0]) == ("    # before", "    # after")


def test_a_file_that_changed_meanwhile(sentry, tmp_path):
    """A file that was written after the process began is not what it runs: only the line that the traceback shows is sent."""
    program = tmp_path / "trader.py"
    body = "def route(order):\n    # before\n    raise LookupError(order)\n\n"
    program.write_text(body + "import os, time\ntime.sleep(0.1)\nos.utime(__file__)\nroute('XYZ')\n")
    run_exec([sys.executable, str(program)], agent_environment(tmp_path / "state", sentry.dsn))
    frame = frames(sentry)[-1]
    assert frame["context_line"].strip() == "raise LookupError(order)"
    assert "pre_context" not in frame


def observe(sentry: SentryProcess, folder: Path, process: subprocess.Popen, log: Path) -> list[dict]:
    """The frames of the error that a process logs which an agent watches."""
    assert process.stdout.readline() == b"up\n"
    more = {"OUTRIDER_LOG_FILES": str(log), "OUTRIDER_TARGET": f"pid:{process.pid}", "SENTRY_DSN": sentry.dsn}
    with AgentProcess(folder / "state", **more):
        process.stdin.write(b"x")
        process.stdin.flush()
        found = frames(sentry)
        process.stdin.close()
        process.wait()
    return found


def test_a_watched_process(sentry, tmp_path):
    """A frame of a process that is only watched has the lines around it; that of one whose file is newer has not."""
    program, log = tmp_path / "trader.py", tmp_path / "app.log"
    program.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(program), str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert observe(sentry, tmp_path, process, log)[-1]["pre_context"][-1] == "    # before"


def test_a_watched_process_with_a_newer_file(sentry, tmp_path):
    """A file that was deployed under a running process is not sent."""
    program, log = tmp_path / "trader.py", tmp_path / "app.log"
    program.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, str(program), str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        time.sleep(0.1)
        program.write_text(PROGRAM)
        assert "pre_context" not in observe(sentry, tmp_path, process, log)[-1]


def test_a_process_with_a_root_of_its_own(sentry, tmp_path):
    """The path is that of the process: in a container the file below its root is read, and not our own file of the same path."""
    if os.geteuid() != 0:
        pytest.skip("chroot(2) takes root")
    root, log = tmp_path / "root", tmp_path / "app.log"
    name = f"/app/{tmp_path.name}.py"
    (root / "app").mkdir(parents=True)
    (root / name[1:]).write_text("# one\n# two\nraise KeyError\n# four\n")
    jailed = "import os, sys; os.chroot(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", jailed, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        more = {"OUTRIDER_LOG_FILES": str(log), "OUTRIDER_TARGET": f"pid:{process.pid}", "SENTRY_DSN": sentry.dsn}
        with AgentProcess(tmp_path / "state", **more):
            time.sleep(1)
            log.write_text(f'Traceback (most recent call last):\n  File "{name}", line 3, in <module>\n    raise KeyError\nKeyError\n')
            (frame,) = frames(sentry)
        process.stdin.close()
    assert (frame["pre_context"], frame["post_context"]) == (["# one", "# two"], ["# four"])
