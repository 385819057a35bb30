"""The agent as a process, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from agent.errors import UnavailableError
from agent.host.control import NotRunningError, ask_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ROOT = __file__.rpartition("/tests/")[0]


def environment(state: Path, **variables: str) -> dict[str, str]:
    """Our environment, less what would configure the agent, with these variables."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "SENTRY_", "OUTRIDER_"))}
    own = {"OUTRIDER_STATE_DIR": str(state), "OUTRIDER_LISTEN": "127.0.0.1:0", "PYTHONPATH": ROOT}
    return {**clean, **own, **variables}


def outrider(*arguments: str, state: Path, timeout: float = 60.0, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of `outrider` to its end."""
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(command, env=environment(state, **variables), capture_output=True, timeout=timeout, check=False)


class AgentProcess:
    """`with AgentProcess(state, …) as agent`: `outrider run`, ready; killed at the end if it still lives."""

    def __init__(self, state: Path, *arguments: str, command: str = "run", stdin: int | None = None, **variables: str) -> None:
        self.state = state
        self._command = [sys.executable, "-m", "agent", command, *arguments]
        self._environment = environment(state, **variables)
        self._stdin = stdin
        self.log_file = state.parent / f"{state.name}.log"

    def __enter__(self) -> Self:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdin=self._stdin, stdout=subprocess.PIPE, stderr=log)
        wait_until(lambda: self.status() is not None, "the agent answers")
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def status(self) -> Mapping[str, object] | None:
        """`/status.json`, None while no agent answers."""
        if self.process.poll() is not None:
            raise AssertionError(f"the agent ended with {self.process.returncode}: {self.log_file.read_text()[-2000:]}")
        try:
            found = ask_json(self.state, "/status.json")
        except (NotRunningError, UnavailableError):
            return None
        assert isinstance(found, dict)
        return found

    def events(self) -> list[Mapping[str, object]]:
        """The agent's own log so far."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]

    def wait_for_event(self, name: str) -> Mapping[str, object]:
        """Wait until the agent has logged an event of this name."""
        wait_until(lambda: any(one["event"] == name for one in self.events()), f"the event {name!r}")
        return next(one for one in self.events() if one["event"] == name)


def wait_until(true: Callable[[], object], what: str, longest: float = 30.0) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + longest
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"waited {longest:g} s in vain: {what}")
        time.sleep(0.02)
