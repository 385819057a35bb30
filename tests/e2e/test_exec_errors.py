"""`outrider exec` sees how a program ends: one issue each, of the right type, with its cause and the black box; the exit code comes through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.testing.sentry_server import read_store
from tests.support.memory_cgroup import limited_cgroup
from tests.support.sentry import SentryProcess, agent_environment, run_exec

HOG = "import time\nprint('eating', flush=True)\nkept = []\nwhile True:\n    kept.append(bytearray(10_000_000))\n    time.sleep(0.01)\n"


@pytest.fixture
def sentry(tmp_path):
    """A Sentry-like server."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        yield server


def run(sentry: SentryProcess, folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess:
    """Run a command under the agent."""
    return run_exec(list(command), agent_environment(folder / "state", sentry.dsn, **more))


def seen(sentry: SentryProcess, type_: str = "event") -> list[dict]:
    """The accepted items of a type that are JSON."""
    return [json.loads(body) for kind, body in read_store(sentry.store) if kind == type_]


def box(sentry: SentryProcess) -> str:
    """The accepted attachments, as one text."""
    return "\n".join(body.decode() for kind, body in read_store(sentry.store) if kind == "attachment")


def only(events: list[dict]) -> dict:
    """The one exception of the one event."""
    assert len(events) == 1, [event["exception"]["values"] for event in events]
    return events[0]["exception"]["values"][-1]


def test_a_program_that_raises(sentry, tmp_path):
    """An uncaught exception is one issue, that of the traceback: the exit code it leads to is not a second one."""
    program = "print('about to fail', flush=True)\nimport time; time.sleep(0.5)\ndef f(x):\n    return 1 / x\nf(0)"
    done = run(sentry, tmp_path, sys.executable, "-c", program)
    error = only(seen(sentry))
    assert (done.returncode, error["type"], error["value"]) == (1, "ZeroDivisionError", "division by zero")
    assert error["mechanism"] == {"type": "excepthook", "handled": False}
    assert [frame["function"] for frame in error["stacktrace"]["frames"]] == ["<module>", "f"]
    assert "about to fail" in box(sentry)
    assert b"ZeroDivisionError" in done.stderr


def test_a_message_of_many_lines(sentry, tmp_path):
    """All lines of the messages of a chain are in the event, blank ones too; what the program had printed before is in none."""
    program = "import sys\nprint('starting', file=sys.stderr)\ntry:\n    raise KeyError\nexcept KeyError:\n    try:\n        raise ValueError('a\\n\\nb')"
    program += (
        "\n    except ValueError as error:\n        raise RuntimeError('tool failed:\\nfirst\\n  second\\n\\nthird\\nfourth') from error"
    )
    done = run(sentry, tmp_path, sys.executable, "-c", program)
    events = seen(sentry)
    assert (done.returncode, only(events)["value"]) == (1, "tool failed:\nfirst\n  second\n\nthird\nfourth")
    told = [(error["type"], error["value"]) for error in events[0]["exception"]["values"]]
    assert told[:-1] == [("KeyError", ""), ("ValueError", "a\n\nb")]


def test_a_program_that_segfaults(sentry, tmp_path):
    """A SIGSEGV is one fatal issue with the signal's number and, where faulthandler has printed one, the stack."""
    program = (
        "import faulthandler, os\nfaulthandler.enable()\ndef fall():\n    os.kill(os.getpid(), 11)\nprint('falling', flush=True)\nfall()"
    )
    done = run(sentry, tmp_path, sys.executable, "-c", program)
    events = seen(sentry)
    error = only(events)
    assert (done.returncode, error["type"], events[0]["level"]) == (139, "SIGSEGV", "fatal")
    assert "synthetic" not in error["mechanism"]  # receivers leave type and value out of such a title
    assert error["mechanism"]["meta"] == {"signal": {"number": 11, "name": "SIGSEGV"}}
    assert [frame["function"] for frame in error["stacktrace"]["frames"]] == ["<module>", "fall"]
    assert "falling" in box(sentry)


def test_a_segfault_without_a_word(sentry, tmp_path):
    """A program that dies by a signal without any output is one issue."""
    done = run(sentry, tmp_path, sys.executable, "-c", "import os; os.kill(os.getpid(), 11)")
    assert (done.returncode, only(seen(sentry))["type"]) == (139, "SIGSEGV")


def test_a_program_that_exits_3(sentry, tmp_path):
    """A non-zero exit code that no traceback explains is one issue; the last lines and the memory before it go with it."""
    done = run(sentry, tmp_path, sys.executable, "-c", "import sys, time; print('no funds', flush=True); time.sleep(1); sys.exit(3)")
    error = only(seen(sentry))
    assert (done.returncode, error["type"], error["value"]) == (
        3,
        "NonZeroExit",
        f"strategy: {Path(sys.executable).name} exited with code 3",
    )
    assert error["mechanism"] == {"type": "exit", "handled": False}
    assert "no funds" in box(sentry)
    assert "process.memory.usage" in box(sentry)


def test_a_good_end_is_no_issue(sentry, tmp_path):
    """A program that exits with 0, and one that is asked to end, are not issues."""
    assert run(sentry, tmp_path, sys.executable, "-c", "print('well')").returncode == 0
    command = [sys.executable, "-m", "agent", "exec", "--", sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    with subprocess.Popen(command, env=agent_environment(tmp_path / "state", sentry.dsn), stdout=subprocess.PIPE) as asked:
        assert asked.stdout.readline() == b"up\n"
        asked.terminate()
        assert asked.wait(30) == 143
    assert seen(sentry) == []


def test_an_exception_in_a_thread_is_not_the_exit(sentry, tmp_path):
    """A traceback of a thread does not explain exit code 3: both are issues."""
    program = "import sys, threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()\nsys.exit(3)"
    assert run(sentry, tmp_path, sys.executable, "-c", program).returncode == 3
    assert sorted(event["exception"]["values"][-1]["type"] for event in seen(sentry)) == ["NonZeroExit", "ZeroDivisionError"]


@pytest.fixture
def cgroup():
    """A cgroup with a memory limit."""
    with limited_cgroup() as folder:
        yield folder


def test_a_program_that_is_killed_for_its_memory(sentry, tmp_path, cgroup):
    """A SIGKILL that the cgroup has counted as an OOM kill is reported as such, with the count as the proof; any other SIGKILL is not."""
    enter = f'echo $$ > {cgroup}/cgroup.procs; exec "$@"'
    whole = ["sh", "-c", enter, "sh", sys.executable, "-m", "agent", "exec", "--", sys.executable, "-c", HOG]
    done = subprocess.run(whole, env=agent_environment(tmp_path / "state", sentry.dsn), capture_output=True, timeout=60, check=False)
    events = seen(sentry)
    error = only(events)
    assert (done.returncode, error["type"]) == (137, "OutOfMemoryKill")
    assert "OOM kill" in error["value"]
    assert events[0]["extra"]["process.exit.oom_kills"] == 1
    assert error["mechanism"]["meta"]["signal"]["name"] == "SIGKILL"
    assert "eating" in box(sentry)


def test_a_plain_sigkill_is_not_called_an_oom_kill(sentry, tmp_path):
    """A SIGKILL by hand is a SIGKILL."""
    done = run(sentry, tmp_path, sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert (done.returncode, only(seen(sentry))["type"]) == (137, "SIGKILL")


def test_an_outage_is_survived(tmp_path):
    """With the server away the event waits in the spool; the next run delivers it, once."""
    with SentryProcess(tmp_path / "taken.jsonl") as server:
        dsn, port = server.dsn, server.port
    done = run_exec([sys.executable, "-c", "raise KeyError('gone')"], agent_environment(tmp_path / "state", dsn))
    assert done.returncode == 1
    with SentryProcess(tmp_path / "taken.jsonl", port) as server:
        assert run(server, tmp_path, sys.executable, "-c", "print('well')").returncode == 0
        assert only(seen(server))["type"] == "KeyError"
