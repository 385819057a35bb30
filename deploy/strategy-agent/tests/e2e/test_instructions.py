"""The documents: every step that can be run quickly prints what TEST_INSTRUCTIONS.md says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from strategy_agent.faults import KINDS
from tests.conftest import SUITES
from tests.support import ROOT, AgentProcess, command

INSTRUCTIONS = (ROOT / "TEST_INSTRUCTIONS.md").read_text()
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```console(?: (run|with-agent))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "8090"


@dataclass(frozen=True, slots=True)
class Step:
    """A command line and the text it must print, in which ``…`` stands for anything."""

    line: str
    expected: str

    def matches(self, printed: str) -> bool:
        """Compare line by line."""
        pattern = "".join(map(_line_pattern, self.expected.splitlines()))
        return re.fullmatch(pattern, printed) is not None


def _line_pattern(line: str) -> str:
    if line == "…":
        return r"(?:[^\n]*\n)*"
    return ".*".join(map(re.escape, line.split("…"))) + r"\n"


def steps(mark: str) -> list[Step]:
    """Return the one-command blocks with this mark."""
    found = []
    for marked, body in BLOCK.findall(INSTRUCTIONS):
        if marked == mark:
            line, _, expected = body.partition("\n")
            found.append(Step(line.removeprefix("$ "), expected))
    return found


def shell(line: str) -> str:
    """Run a command line as a reader would, and return what is seen."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("step", steps("run"), ids=lambda step: step.line)
def test_a_step_prints_what_it_must(step: Step) -> None:
    """Run as written, the command prints the text as written."""
    printed = shell(step.line)
    assert step.matches(printed), printed


@pytest.fixture(scope="module")
def agent() -> Iterator[AgentProcess]:
    """Yield an agent that has begun to trade, as in the reader's other terminal."""
    with AgentProcess("--rate", "500") as agent:
        agent.wait_for("order_filled")
        yield agent


@pytest.mark.parametrize("step", steps("with-agent"), ids=lambda step: step.line)
def test_a_step_beside_a_running_agent_prints_what_it_must(step: Step, agent: AgentProcess) -> None:
    """Asked on its port, the agent answers as written."""
    program = shlex.split(step.line)[0]
    if program == "curl" and shutil.which("curl") is None:
        pytest.skip("no curl on the path")
    printed = shell(step.line.replace(PORT, agent.url.rpartition(":")[2]))
    assert step.matches(printed if printed.endswith("\n") else printed + "\n"), printed


def test_there_are_steps_of_both_kinds() -> None:
    """The blocks are found, so that an empty list cannot pass for a success."""
    assert len(steps("run")) >= 6
    assert len(steps("with-agent")) >= 5


@pytest.mark.parametrize(
    ("expected", "printed", "answer"),
    [
        ("a…c\n", "abc\n", True),
        ("a…c\n", "ab\n", False),
        ("…\nz\n", "x\ny\nz\n", True),
        ("…\nz\n", "x\ny\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_the_comparison_can_fail(expected: str, printed: str, answer: bool) -> None:
    """Anything but the written text is a difference."""
    assert Step("", expected).matches(printed) is answer


def test_every_fault_and_suite_is_in_the_documents() -> None:
    """What exists is written down: faults in both files, suites with marker and folder."""
    for fault in KINDS:
        assert f"--fault {fault}@" in INSTRUCTIONS
        assert f"`{fault}`" in README
    for folder, (marker, *_) in SUITES.items():
        assert f"-m {marker}`" in INSTRUCTIONS
        assert f"tests/{folder}`" in INSTRUCTIONS


def collected(*arguments: str) -> set[str]:
    """Return the folders from which pytest would run tests."""
    done = command("-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments)
    assert done.returncode == 0, done.stdout
    return set(re.findall(r"^tests/(\w+)/", done.stdout, re.MULTILINE))


def test_the_default_run_leaves_two_suites_out() -> None:
    """Without a marker or a folder, property tests and benchmarks are not run."""
    assert collected() == {"unit", "integration", "e2e", "load"}
