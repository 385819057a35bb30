from __future__ import annotations

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import crash
from agent.errors import ConfigError

AGENT = Path(crash.__file__).parent


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with an environment of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(AGENT.parent), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_kills_at_the_asked_passage():
    """The process dies by SIGKILL at the n-th passage, not before."""
    code = "from agent.crash import crash_point\nfor n in range(5): print(n, flush=True); crash_point('spool.after_commit')"
    done = run(code, OUTRIDER_FAULT="spool.after_commit:3")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]


def test_other_points_pass():
    """A point that was not asked for does nothing."""
    done = run("from agent.crash import crash_point; crash_point('spool.before_begin')", OUTRIDER_FAULT="spool.after_commit")
    assert done.returncode == 0, done.stderr


def test_log_holds_the_last_point_and_its_count(tmp_path):
    """A harness that kills at random reads from the crash log what was passed last, and how often."""
    log = tmp_path / "log"
    code = "from agent.crash import crash_point as p\np('spool.after_begin'); p('spool.before_commit'); p('spool.after_begin')"
    assert run(code, OUTRIDER_CRASH_LOG=str(log)).returncode == 0
    assert crash.read_crash_log(log.read_bytes()) == ("spool.after_begin", 2)
    assert log.stat().st_size == crash.LOG_SIZE


def test_empty_log_names_no_point():
    """A crash log nothing was written to says that nothing was passed."""
    assert crash.read_crash_log(b"") == ("", 0)


def test_costs_nothing_when_unset():
    """Without the environment a passage is an empty function."""
    assert crash.arm({}) is crash.arm({"OUTRIDER_FAULT": ""})


@pytest.mark.parametrize("text", ["spool.nowhere", "spool.nowhere:2", ":1"])
def test_unknown_point_is_refused_with_the_list(text):
    """An unknown name is a configuration error that lists the names there are."""
    with pytest.raises(ConfigError, match=r"spool\.after_commit"):
        crash.parse_fault(text)


@pytest.mark.parametrize("text", ["spool.migrate:0", "spool.migrate:-1", "spool.migrate:x", "spool.migrate:1.5"])
def test_passage_must_count_from_one(text):
    """A passage that can never happen is refused."""
    with pytest.raises(ConfigError, match="whole number from 1"):
        crash.parse_fault(text)


def test_wrong_setting_is_told_at_the_first_passage():
    """A wrong setting can't go unnoticed: the first passage raises it."""
    with pytest.raises(ConfigError, match="no crash point"):
        crash.arm({"OUTRIDER_FAULT": "nowhere"})("spool.migrate")


def test_every_passage_in_the_code_is_registered():
    """Each `crash_point(...)` in the agent names a point of the registry by a literal."""
    names = {
        call.args[0].value if isinstance(call.args[0], ast.Constant) else ast.dump(call.args[0])
        for file in AGENT.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "crash_point"
    }
    assert names
    assert names <= crash.POINTS
