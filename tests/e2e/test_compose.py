"""The compose file, brought up as it stands: four services, healthy by their own checks, and a sidecar that outlives its workload."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.support import containers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = pytest.mark.timeout(900)

PROJECT = f"e2e-compose-{os.getpid()}"
SERVICES = ("processes", "redis", "strategy-agent", "outrider")


class Compose:
    """The project, by the command line of docker compose or podman-compose."""

    def __init__(self, engine: Any, command: list[str], base: str, redis_image: str) -> None:
        self.engine = engine
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        variables = {
            "BASE_IMAGE": base,
            "STRATEGY_AGENT_IMAGE": containers.STRATEGY_AGENT,
            "OUTRIDER_IMAGE": containers.OUTRIDER,
            "REDIS_IMAGE": redis_image,
            "STRATEGY_AGENT_PORT": str(self.port),
        }
        self._environ = {**os.environ, **engine.environ, **variables}
        self._command = [*command, "--file", str(containers.WORKLOAD / "compose.yaml"), "--project-name", PROJECT]

    def do(self, *arguments: str, timeout: float = 120.0) -> str:
        """Run a command that must succeed."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=self.engine.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        """The name of a service's container: compose tools differ in what they put between the words."""
        names = self.engine.do("ps", "--all", "--filter", f"name={PROJECT}", "--format", "{{.Names}}").split()
        return next(name for name in names if name.removeprefix(PROJECT).strip("-_").removesuffix("1").strip("-_") == service)

    def inside(self, service: str, *command: str) -> str:
        """The output of a command in a service's container."""
        return self.engine.do("exec", self.container(service), *command)

    def status(self) -> Any:
        """`outrider status --json`."""
        return json.loads(self.inside("outrider", "outrider", "status", "--json"))

    def figure(self, name: str) -> float:
        """The sidecar's figure of the agent's processes; -1 before the first sample."""
        found = self.status()["figures"]
        return next((one["value"] for one in found if one["name"] == f"outrider.target.{name}"), -1.0)


def compose_command(engine: Any) -> list[str]:
    """The compose tool that belongs to the engine; skips when there is none."""
    if not engine.is_podman:
        if engine.ask("compose", "version").returncode != 0:
            pytest.skip("docker has no compose plugin")
        return ["docker", "compose"]
    beside = Path(sys.executable).parent / "podman-compose"
    found = shutil.which("podman-compose") or (str(beside) if beside.exists() else None)
    if found is None:
        pytest.skip("no podman-compose: pip install podman-compose")
    return [found]


def redis_image(engine: Any, base: str) -> str:
    """An image with a Redis server: the one to build on, if it was made here, else the compose file's, if it can be pulled."""
    if engine.ask("run", "--rm", base, "sh", "-c", "command -v redis-server").returncode == 0:
        return base
    image = "redis:7-alpine"
    if engine.ask("pull", "--quiet", image, timeout=300).returncode != 0:
        pytest.skip(f"no image with Redis: {image} cannot be pulled")
    return image


@pytest.fixture(scope="module")
def compose(engine: Any, prepared: tuple[Any, str]) -> Iterator[Compose]:
    """The project, up and healthy; down at the end, with its volumes."""
    base = prepared[1]
    compose = Compose(engine, compose_command(engine), base, redis_image(engine, base))
    try:
        compose.do("up", "--detach")
        for service in SERVICES:
            engine.wait_until_healthy(compose.container(service))
        yield compose
    finally:
        compose.do("down", "--volumes", "--timeout", "5")


def test_the_agent_answers_on_its_published_port(compose: Compose) -> None:
    """From the host, on loopback."""
    with urlopen(f"http://127.0.0.1:{compose.port}/health", timeout=5) as answer:
        assert json.load(answer)["status"] == "ok"


def test_redis_has_the_agents_events_and_books(compose: Compose) -> None:
    """The stream grows, and an order book is cached."""
    compose.engine.wait_until(lambda: int(compose.inside("redis", "redis-cli", "XLEN", "strategy-agent:stream")) > 0, "an event")
    compose.engine.wait_until(lambda: compose.inside("redis", "redis-cli", "KEYS", "strategy-agent:book:*"), "a book")


def test_the_sidecar_sees_log_health_and_processes(compose: Compose) -> None:
    """Records are stored, the probe is up, and exactly one process is the agent."""
    assert compose.status()["sources"][0]["accepted"] > 0
    compose.engine.wait_until(lambda: [probe["state"] for probe in compose.status()["probes"]] == ["up"], "/health is seen")
    compose.engine.wait_until(lambda: compose.figure("processes") == 1, "the process is seen")


@pytest.mark.parametrize("service", SERVICES)
def test_the_restrictions_are_in_force(compose: Compose, service: str) -> None:
    """The kernel applies to each service the restrictions that the file asks for."""
    text = compose.inside(service, "cat", "/proc/self/status")
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["65532"] * 4
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    touched = compose.engine.ask("exec", "--user", "0", compose.container(service), "touch", "/intruder")
    assert "Read-only file system" in touched.stderr
    assert 0 < int(compose.inside(service, "sh", "-c", "cd /sys/fs/cgroup; cat pids.max || cat pids/pids.max")) <= 64


def test_the_sidecar_outlives_the_agent(compose: Compose) -> None:
    """The agent is killed: the same sidecar tells that it is gone, and that it is back."""
    before = compose.status()
    compose.engine.do("kill", "--signal", "KILL", compose.container("strategy-agent"))
    compose.engine.wait_until(lambda: compose.figure("processes") == 0 or compose.figure("restarts") > 0, "it sees the end")
    compose.engine.ask("start", compose.container("strategy-agent"))  # a restart policy may have been quicker
    compose.engine.wait_until(lambda: compose.figure("processes") == 1 and compose.figure("restarts") > 0, "it sees the new agent")
    after = compose.status()
    assert (after["started_ns"], after["pid"]) == (before["started_ns"], before["pid"])
    assert after["sources"][0]["accepted"] > before["sources"][0]["accepted"]
