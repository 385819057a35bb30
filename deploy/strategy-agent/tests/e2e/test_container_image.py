"""The image, built and run with every restriction on, and the runner that does the same. Takes minutes.

They run when ``slow`` or this file is asked for; elsewhere they say so. What they need of a machine is found by
``tests/containers.py``, which also says what is missing.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.containers import PATIENCE, USER, Engine, UnavailableError, own_network, prepare, script_environ
from tests.support import ROOT

pytestmark = pytest.mark.timeout(900)

IMAGE = "localhost/strategy-agent:e2e"
SUITES_IMAGE = "localhost/strategy-agent-test:e2e"
LOGS = "/var/log/strategy-agent"
HEALTH = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8090/health', timeout=2).read().decode())"


@pytest.fixture(scope="module")
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, str]:
    """Return the engine and the image to build on, or skip with the reason."""
    named = any(__name__.rpartition(".")[2] in argument for argument in request.config.args)
    if not named and "slow" not in request.config.option.markexpr:
        pytest.skip("builds images, for minutes: run it with -m slow, or name the file")
    try:
        return prepare(tmp_path_factory.mktemp("engine"))
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def engine(prepared: tuple[Engine, str]) -> Engine:
    """Return the engine, in which the agent's image is built."""
    engine, base = prepared
    engine.build(ROOT, IMAGE, base)
    return engine


@pytest.fixture(scope="module")
def network(engine: Engine) -> Iterator[str]:
    """Yield a bridge network; what runs on it goes with it."""
    with own_network(engine) as name:
        yield name


@pytest.fixture(scope="module")
def agent(engine: Engine, network: str) -> str:
    """Return the name of a healthy agent that was started with every restriction on."""
    name = f"{network}-agent"
    volume = ("--volume", f"{network}-logs:{LOGS}")
    engine.do("run", "--detach", "--name", name, *engine.restrictions(network), *volume, IMAGE)
    engine.wait_until_healthy(name)
    return name


@pytest.fixture
def inside(engine: Engine, agent: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs a command inside the agent's container."""
    return lambda *command: engine.ask("exec", agent, *command)


Inside = Callable[..., subprocess.CompletedProcess[str]]


def test_it_is_an_unprivileged_user(inside: Inside) -> None:
    """The agent's user is 65532, and no capability is left to it, nor a way to one; system calls are filtered."""
    status = dict(line.split(":\t", 1) for line in inside("cat", "/proc/1/status").stdout.splitlines() if ":\t" in line)
    assert status["Uid"].split() == [USER] * 4
    assert status["Gid"].split() == [USER] * 4
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("folder", ["/", "/opt/strategy-agent", "/etc", "/var/tmp", "/run"])  # noqa: S108
def test_the_root_file_system_is_not_writable(inside: Inside, folder: str) -> None:
    """Whoever gets in changes nothing."""
    refused = inside("touch", f"{folder}/intruder")
    assert refused.returncode != 0
    assert "Read-only file system" in refused.stderr or "Permission denied" in refused.stderr


def test_even_root_could_not_write(engine: Engine, agent: str) -> None:
    """It is the file system that refuses, not only its permissions."""
    refused = engine.ask("exec", "--user", "0:0", agent, "touch", "/intruder")
    assert "Read-only file system" in refused.stderr


def test_the_only_scratch_place_runs_nothing(inside: Inside) -> None:
    """The tmpfs is writable and not executable."""
    assert inside("sh", "-c", "echo 'echo ran' > /tmp/program && chmod +x /tmp/program").returncode == 0
    assert inside("/tmp/program").returncode != 0  # noqa: S108 - the container's own


def test_memory_and_processes_are_limited(inside: Inside) -> None:
    """The limits that were asked for are the kernel's."""
    memory = inside("sh", "-c", "cd /sys/fs/cgroup; cat memory.max || cat memory/memory.limit_in_bytes").stdout
    processes = inside("sh", "-c", "cd /sys/fs/cgroup; cat pids.max || cat pids/pids.max").stdout
    assert (int(memory), int(processes)) == (256 * 2**20, 64)


def test_it_answers_and_gets_somewhere(engine: Engine, inside: Inside, agent: str) -> None:
    """``/health`` is that of a trading agent, whose ticks go on."""
    first = json.loads(inside("python", "-c", HEALTH).stdout)
    assert (first["status"], first["kill_switch"]) == ("ok", None)

    def more_ticks() -> bool:
        return int(json.loads(inside("python", "-c", HEALTH).stdout)["ticks"]) > int(first["ticks"])

    engine.wait_until(more_ticks, "more ticks", agent)


def test_the_log_volume_is_written(engine: Engine, inside: Inside, agent: str) -> None:
    """What the agent logs is in the volume, a JSON object per line, and the same as on standard output."""
    written = [json.loads(line) for line in inside("cat", f"{LOGS}/agent.log").stdout.splitlines()]
    assert "service_started" in {line["event"] for line in written}
    said = engine.do("logs", agent).splitlines()
    assert json.loads(said[0]) == written[0]


@pytest.mark.parametrize("tool", ["pip", "pip3", "cc", "gcc", "make"])
def test_nothing_that_installs_or_builds(inside: Inside, tool: str) -> None:
    """The image holds what runs, not what makes."""
    assert inside("sh", "-c", f"command -v {tool}").stdout == ""


def test_pip_is_no_module_either(inside: Inside) -> None:
    """Neither the environment's interpreter nor the system's finds it."""
    for python in ("python", "/usr/bin/python3", "/usr/local/bin/python3"):
        assert inside(python, "-c", "import pip").returncode != 0


def test_a_stop_is_clean(engine: Engine, network: str) -> None:
    """SIGTERM ends it with code 0 and its last words, long before the engine loses patience."""
    name = f"{network}-stopped"
    engine.do("run", "--detach", "--name", name, *engine.restrictions(network), IMAGE)
    engine.wait_until_healthy(name)
    began = time.monotonic()
    engine.do("stop", "--time", "20", name)
    assert time.monotonic() - began < 10
    assert engine.state(name)["ExitCode"] == 0
    assert json.loads(engine.do("logs", "--tail", "1", name))["event"] == "service_stopped"


def test_a_stalled_agent_is_unhealthy(engine: Engine, network: str) -> None:
    """The health check fails for one that answers and gets nowhere."""
    name = f"{network}-stalled"
    options = engine.restrictions(network)
    engine.do("run", "--detach", "--name", name, *options, IMAGE, "run", "--host", "0.0.0.0", "--fault", "stall@1s")  # noqa: S104
    engine.wait_until(lambda: '"fault_injected"' in engine.do("logs", name), "the fault", name)
    check = ("python", "-m", "strategy_agent", "healthcheck", "--max-tick-age")
    engine.wait_until(lambda: engine.ask("exec", name, *check, "1s").returncode == 1, "it is found out", name)
    assert engine.ask("exec", name, *check, "10m").returncode == 0


def test_too_much_memory_ends_the_container_alone(engine: Engine, network: str) -> None:
    """The kernel kills what exceeds the memory limit: code 137, and not the word of an agent that stopped itself."""
    name = f"{network}-greedy"
    options = engine.restrictions(network, memory="160m")
    greedy = ("run", "--fault", "oom@500ms:4096")
    engine.do("run", "--detach", "--name", name, *options, "--memory-swap", "160m", IMAGE, *greedy)
    engine.wait_until(lambda: engine.state(name)["Status"] == "exited", "it is killed", name)
    assert engine.state(name)["ExitCode"] == 128 + signal.SIGKILL
    assert "MemoryError" not in engine.do("logs", name)


# ---------------------------------------------------------------- run_tests.sh


@pytest.fixture
def environ(prepared: tuple[Engine, str]) -> dict[str, str]:
    """Return the environment of the runner on this machine, with names of its own for the images."""
    return {**script_environ(*prepared), "AGENT_IMAGE": IMAGE, "TEST_IMAGE": SUITES_IMAGE}


def run_script(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start the runner."""
    return subprocess.Popen(
        [str(ROOT / "run_tests.sh"), *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(engine: Engine) -> str:
    """Return the names of the runner's containers, networks and images."""
    lists = (("ps", "--all"), ("network", "ls"), ("images",))
    return "\n".join(name for each in lists for name in engine.do(*each).splitlines() if "strategy-agent-run" in name)


def test_the_runner_passes(engine: Engine, environ: dict[str, str]) -> None:
    """Mock and agent are built and become healthy, the suites run inside with coverage, nothing is left behind."""
    suites = ("tests/unit/test_dice.py", "tests/e2e/test_container_files.py")
    script = run_script(environ, "--cov", "--cov-fail-under=1", *suites)
    printed, _ = script.communicate(timeout=600)
    assert script.returncode == 0, printed
    for step in (
        *("build the image around a mock agent", "the mock agent starts, becomes healthy and stops"),
        *("build the agent's image", "the agent starts, becomes healthy and stops"),
        *("build the image of the suites", "the suites in a container"),
    ):
        assert f"passed  {step}" in printed
    assert "Required test coverage of 1" in printed
    assert printed.splitlines()[-1] == "PASS"
    assert left_behind(engine) == ""


def test_the_runner_cleans_up_when_it_is_stopped(engine: Engine, environ: dict[str, str]) -> None:
    """SIGTERM in the middle of a build ends it soon, with the signal's code, and nothing is left behind."""
    script = run_script(environ)
    assert script.stdout is not None
    while "== build the image around a mock agent" not in script.stdout.readline():
        pass
    time.sleep(2)  # into the build; it has no sign of its own
    script.send_signal(signal.SIGTERM)
    began = time.monotonic()
    script.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2
    assert script.returncode == 128 + signal.SIGTERM
    assert left_behind(engine) == ""
