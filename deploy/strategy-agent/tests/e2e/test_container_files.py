"""The container files without an engine: every restriction stands in them, and the runner has manners."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from ruamel.yaml import YAML

from tests.support import ROOT

Mapping = dict[str, object]

COMPOSE = cast(Mapping, YAML(typ="safe").load(ROOT / "compose.yaml"))
SERVICES = cast(dict[str, Mapping], COMPOSE["services"])
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SCRIPT = ROOT / "run_tests.sh"

every_service = pytest.mark.parametrize("name", SERVICES)


def part(value: object, *keys: str) -> object:
    """Return what stands under these keys."""
    for key in keys:
        value = cast(Mapping, value)[key]
    return value


def test_the_services() -> None:
    """The agent, its Redis, the sidecar, and the holder of the process table that two of them share."""
    assert set(SERVICES) == {"processes", "redis", "strategy-agent", "outrider"}
    holder = SERVICES["processes"]["container_name"]
    assert {SERVICES[name]["pid"] for name in ("strategy-agent", "outrider")} == {f"container:{holder}"}


@every_service
def test_a_service_has_no_right_that_it_does_not_need(name: str) -> None:
    """No root, no writable root file system, no capability, no way to get one."""
    service = SERVICES[name]
    assert service["user"] == "65532:65532"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp:rw,noexec,nosuid,nodev,size=16m"]  # noqa: S108 - the container's own
    assert not {"privileged", "cap_add", "network_mode", "ipc", "devices"} & service.keys()


@every_service
def test_a_service_has_limits_and_reservations(name: str) -> None:
    """CPU, memory and processes are limited; CPU and memory are reserved, and no more than the limit."""
    limits, reservations = (cast(Mapping, part(SERVICES[name], "deploy", "resources", key)) for key in LIMIT_KEYS)
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert 0 < float(str(reservations["cpus"])) <= float(str(limits["cpus"])) <= 1
    assert 0 < mebibytes(reservations["memory"]) <= mebibytes(limits["memory"]) <= 256
    assert 0 < int(str(limits["pids"])) <= 64


LIMIT_KEYS = ("limits", "reservations")


def mebibytes(value: object) -> int:
    """Return a size as compose files write it."""
    return int(str(value).removesuffix("M"))


@every_service
def test_a_service_has_a_health_check_that_ends(name: str) -> None:
    """It is a program of the image, without a shell, and has a time-out."""
    check = cast(Mapping, SERVICES[name]["healthcheck"])
    assert cast(list[str], check["test"])[0] == "CMD"
    assert {"interval", "timeout", "retries"} <= check.keys()


@every_service
def test_a_service_is_on_the_bridge_of_its_own(name: str) -> None:
    """Nothing is on the host's network, and only the agent's port is published, on loopback."""
    assert SERVICES[name]["networks"] == ["backend"]
    assert part(COMPOSE, "networks", "backend") == {"driver": "bridge"}
    ports = cast(list[str], SERVICES[name].get("ports", []))
    assert [port.partition(":")[0] for port in ports] == ["127.0.0.1"] * (name == "strategy-agent")


def test_logs_and_data_are_volumes() -> None:
    """The agent writes its log and its data into volumes; the sidecar reads the log and cannot change it."""
    assert set(cast(Mapping, COMPOSE["volumes"])) == {"logs", "data", "outrider-state"}
    assert SERVICES["strategy-agent"]["volumes"] == ["logs:/var/log/strategy-agent", "data:/var/lib/strategy-agent"]
    read = ["logs:/var/log/strategy-agent:ro", "outrider-state:/var/lib/outrider"]
    assert SERVICES["outrider"]["volumes"] == read


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    """The last stage has an unprivileged user by number, a health check, a stop signal and no shell as entry point."""
    runtime = DOCKERFILE.rpartition("FROM ")[2]
    assert "USER 65532:65532" in runtime
    assert re.search(r"^HEALTHCHECK .*\\\n +CMD \[", runtime, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in runtime
    assert re.search(r"^ENTRYPOINT \[", runtime, re.MULTILINE)


def test_image_and_compose_file_check_health_alike() -> None:
    """Nobody has to look in two places."""
    written = DOCKERFILE.rpartition("HEALTHCHECK")[2].partition("CMD ")[2].partition("\n")[0]
    assert cast(list[str], part(SERVICES, "strategy-agent", "healthcheck", "test"))[1:] == YAML(typ="safe").load(
        written
    )


# ---------------------------------------------------------------- run_tests.sh


def run_script(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the runner with these variables."""
    return subprocess.run(
        [str(SCRIPT), *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environ},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def no_engine(tmp_path: Path) -> str:
    """Return a PATH on which both engines are installed and do not answer."""
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


def test_without_an_engine_the_suites_run_on_the_host(no_engine: str, tmp_path: Path) -> None:
    """It says what is not tested, runs what it can, its result is theirs, and its temporary folder is gone."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = run_script("tests/unit/test_dice.py", "-q", "-p", "no:cacheprovider", PATH=no_engine, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [path for path in scratch.iterdir() if path.name.startswith("tmp.")]
    assert "podman: installed, but does not answer" in done.stdout
    assert "the images are NOT tested" in done.stdout
    assert " passed" in done.stdout
    assert "skipped the images: no container engine" in done.stdout
    assert done.stdout.splitlines()[-1] == "PASS"


def test_what_fails_is_a_failure_and_leaves_nothing_behind(no_engine: str, tmp_path: Path) -> None:
    """A suite that does not pass ends in FAIL and in code 1, and the runner's temporary folder is gone."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = run_script("tests/unit/no_such_test.py", "-p", "no:cacheprovider", PATH=no_engine, TMPDIR=str(scratch))
    assert list(scratch.iterdir()) == []
    assert done.returncode == 1
    assert "FAILED  the suites on the host" in done.stdout
    assert done.stdout.splitlines()[-1] == "FAIL"


def test_an_engine_that_is_none_is_wrong_usage() -> None:
    """It names the two that there are."""
    done = run_script(CONTAINER_ENGINE="lxc")
    assert done.returncode == 2
    assert "'lxc'; it can be docker or podman" in done.stderr


def test_without_any_tool_it_says_what_to_install(tmp_path: Path) -> None:
    """Neither engine nor pytest: code 69 and the command that helps."""
    for tool in ("bash", "env", "dirname", "mktemp", "rm", "timeout"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    done = run_script(PATH=str(tmp_path), PYTHON="no-such-python")
    assert done.returncode == 69
    assert "pip install" in done.stderr


def test_shellcheck_has_nothing_to_say() -> None:
    """The runner is clean, with every check that is on by default."""
    if (shellcheck := shutil.which("shellcheck")) is None:
        pytest.skip("no shellcheck on the path")
    done = subprocess.run([shellcheck, str(SCRIPT)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "")
