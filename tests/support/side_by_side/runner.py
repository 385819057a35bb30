"""Runs the programs of this folder in three ways, each into a project of its own: under `outrider exec`, beside `outrider run`, with the SDK inside.

Their packages go into an environment of their own, as Bugsink's do; where there can be none the tests that need it skip.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.host.control import NotRunningError, ask_json
from agent.spool.offline import OfflineSpool
from tests.support.agent_process import ROOT, AgentProcess, environment, wait_until
from tests.support.bugsink import CACHE, INSTALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.bugsink import Bugsink

HERE = Path(__file__).parent
PACKAGES = ("sentry-sdk", "flask", "celery[redis]", "packaging")
PROGRAMS = {
    "service": ["service.py"],
    "shop": ["shop.py"],
    "jobs": ["jobs.py"],
    "pool": ["pool.py"],
    "threads": ["threads.py"],
    "warned": ["-X", "dev", "warned.py"],
}
LONGEST = 120.0
"""Seconds for anything, on a busy machine."""
REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
STRATEGY = ["-m", "strategy_agent", "run", "--port", "0", "--fault", "error-burst@0.5s:3", "--fault", "crash@2s"]


@cache
def python() -> Path:
    """The interpreter of the programs' environment; skips the test where there can be none."""
    home = CACHE / "programs"
    if not (home / "ready").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True, timeout=INSTALL_SECONDS)
            install = [home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
            subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"{', '.join(PACKAGES)} can't be installed here: {error}")
        (home / "ready").touch()
    return home / "bin/python"


def command(name: str, folder: Path) -> list[str]:
    """The command line of a program; its script is copied into the folder."""
    if name == "strategy":
        return [sys.executable, *STRATEGY]
    *options, script = PROGRAMS[name]
    shutil.copy(HERE / script, folder)
    return [str(python()), *options, script]


def place(name: str, folder: Path) -> Path:
    """Where a program runs: where its code lies, as the SDK expects of a program's own."""
    return Path(ROOT, "deploy/strategy-agent") if name == "strategy" else folder


def variables(state: Path, broker: str, **more: str) -> dict[str, str]:
    """The environment of a program and of its agent."""
    return environment(
        state,
        PYTHONUNBUFFERED="1",
        BROKER=broker,
        OTEL_SERVICE_NAME="side",
        OTEL_RESOURCE_ATTRIBUTES="service.version=1,deployment.environment.name=test",
        **more,
    )


def destinations(folder: Path, dsns: Sequence[str]) -> str:
    """The path of a configuration that sends errors to these projects."""
    config = folder / "outrider.yaml"
    config.write_text("exporters:\n" + "".join(f"- {{type: sentry, name: to{number}, dsn: '{dsn}'}}\n" for number, dsn in enumerate(dsns)))
    return str(config)


def under_exec(name: str, folder: Path, dsns: Sequence[str], broker: str) -> None:
    """`outrider exec -- PROGRAM`."""
    env, config = variables(folder / "state", broker), destinations(folder, dsns)
    with (folder / "output").open("wb") as output:
        subprocess.run(
            [sys.executable, "-m", "agent", "exec", "--config", config, "--", *command(name, folder)],
            cwd=place(name, folder),
            env=env,
            stdout=output,
            stderr=output,
            timeout=LONGEST,
            check=False,
        )
    send_rest(folder / "state", config)


def send_rest(state: Path, config: str) -> None:
    """Send what a busy server has not taken before the agent's end, as the next agent does."""
    if pending(state):
        with AgentProcess(state, "--config", config):
            wait_until(lambda: not pending(state), "all rows are sent", LONGEST)


def pending(state: Path) -> int:
    """Rows that a destination still has to take."""
    try:
        cursors = ask_json(state, "/spool/stat")["cursors"]
    except NotRunningError:
        with OfflineSpool(state) as spool:
            cursors = asdict(spool.stat())["cursors"]
    return sum(cursor["pending"] for cursor in cursors)


def beside_run(name: str, folder: Path, dsns: Sequence[str], broker: str) -> None:
    """`outrider run` that watches the program and reads the file that it writes to."""
    log = folder / "app.log"
    log.touch()
    env, config = variables(folder / "state", broker), destinations(folder, dsns)
    with log.open("ab") as output:
        hold = "import sys, os; sys.stdin.readline(); os.execv(sys.argv[1], sys.argv[1:])"
        program = subprocess.Popen(
            [sys.executable, "-c", hold, *command(name, folder)],
            cwd=place(name, folder),
            env=env,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
        more = {key: value for key, value in env.items() if key.startswith("OTEL_")}
        with AgentProcess(
            folder / "state", "--config", config, OUTRIDER_TARGET=f"pid:{program.pid}", OUTRIDER_LOG_FILES=str(log), **more
        ) as agent:
            wait_until(lambda: stored(agent), "the process is watched")
            watched = stored(agent)
            program.communicate(b"\n", timeout=LONGEST)
            wait_until(lambda: stored(agent) > watched, "its end is stored")
            agent.process.terminate()
            agent.process.wait(LONGEST)
    send_rest(folder / "state", config)


def stored(agent: AgentProcess) -> int:
    """The stored records of the watched process: its start, its end, a session."""
    status = agent.status() or {}
    return sum(one["accepted"] for one in status["sources"] if one["name"] == "outrider.target")


def with_sdk(name: str, folder: Path, dsns: Sequence[str], broker: str) -> None:
    """The program alone, with the SDK in it."""
    env = variables(folder / "state", broker, SDK_DSNS=" ".join(dsns))
    env["PYTHONPATH"] = str(HERE)
    with (folder / "output").open("wb") as output:
        subprocess.run(command(name, folder), cwd=place(name, folder), env=env, stdout=output, stderr=output, timeout=LONGEST, check=False)


WAYS = {"exec": under_exec, "run": beside_run, "sdk": with_sdk}


@dataclass(frozen=True, slots=True)
class Row:
    """An issue, as a person sees it."""

    problem: str
    """Type and first line of the value; of a message its template."""
    title: str
    level: str
    handled: bool | None
    mechanism: str
    transaction: str
    frames: tuple[str, ...]
    """Of the last exception: `module:function`, with `!` before those that are not the program's own."""
    links: tuple[str, ...]
    """The types of the chain."""
    events: int
    """How many errors there were, as the events count them."""
    grouping: tuple[object, ...]
    """The attributes that Sentry's own grouping uses: a fingerprint, or the type and own frames of each exception, or the message."""
    contexts: tuple[str, ...]


def rows(server: Bugsink) -> list[Row]:
    """The issues of a project, by title."""
    return sorted((row(server, issue) for issue in server.issues()), key=lambda one: one.title)


def row(server: Bugsink, issue: dict) -> Row:
    """One issue."""
    events = server.events(issue["id"])
    event = events[0]
    values = event.get("exception", {}).get("values", [])
    last = values[-1] if values else {}
    frames = last.get("stacktrace", {}).get("frames", [])
    said = (event.get("logentry") or {}).get("message", "")
    return Row(
        f"{last['type']}: {last['value']}".partition("\n")[0] if last else said,
        f"{issue['calculated_type']}: {issue['calculated_value']}".removeprefix("Log Message: "),
        event["level"],
        last.get("mechanism", {}).get("handled"),
        last.get("mechanism", {}).get("type", ""),
        event.get("transaction", ""),
        tuple(f"{'' if frame.get('in_app') else '!'}{frame.get('module')}:{frame['function']}" for frame in frames),
        tuple(one["type"] for one in values),
        sum(one.get("extra", {}).get("occurrences", {}).get("count", 1) for one in events),
        grouping(event),
        tuple(sorted(event.get("contexts", {}))),
    )


def grouping(event: dict) -> tuple[object, ...]:
    """The parts of an event that Sentry groups by (develop.sentry.dev, "Grouping")."""
    if "fingerprint" in event:
        return tuple(event["fingerprint"])
    values = event.get("exception", {}).get("values", [])
    frames = {one["type"]: one.get("stacktrace", {}).get("frames", []) for one in values}
    own = [
        (type_, tuple((frame["module"], frame["function"], frame.get("context_line")) for frame in some if frame.get("in_app")))
        for type_, some in frames.items()
    ]
    return tuple(own) or ((event.get("logentry") or {}).get("message"),)


@contextmanager
def broker(name: str) -> Iterator[str]:
    """A Redis server for a program that wants one, so that no worker has another's tasks."""
    if name != "jobs" or REDIS is None:
        yield ""
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with subprocess.Popen([REDIS, "--port", str(port), "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL) as server:
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
