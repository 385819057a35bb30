"""A container engine for tests, and the image that tests build on: pulled, or made from Debian's packages.

What belongs to a machine stays there: how pip and apt reach their packages is read from their own configuration when
an image is built, and is mounted, not copied. Standard library only, so that any test suite can load this file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

PULLED = "python:3.11-slim-bookworm"
"""What the Dockerfiles build on by default."""

STAND_IN = "localhost/outrider-e2e-base:bookworm"
"""The same made here, with a Redis besides. It is kept: making it takes more than a minute."""

PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates", "redis-server")
USER = "65532"
PATIENCE = 45.0
"""Seconds that a container has to become what a test waits for."""

Run = subprocess.CompletedProcess[str]


class UnavailableError(Exception):
    """Why containers cannot be tested here."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Docker or Podman, by its command line."""

    program: str
    environ: Mapping[str, str] = field(default_factory=dict)
    build_options: Sequence[str] = ()
    """What every build needs on this machine."""
    folder: Path | None = None
    """Where its commands run: Podman's monitor leaves a file there when a container exceeds its memory."""

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman."""
        return self.program == "podman"

    def ask(self, *arguments: str, timeout: float = 60.0) -> Run:
        """Run a command of the engine, whatever comes of it."""
        command = [self.program, *arguments]
        environ = {**os.environ, **self.environ}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def do(self, *arguments: str, timeout: float = 60.0) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self.ask(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{self.program} {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def build(self, context: Path, image: str, base: str, *arguments: str) -> None:
        """Build an image; at most ten minutes."""
        options = (*self.build_options, "--build-arg", f"BASE={base}", *arguments)
        self.do("build", *options, "--tag", image, str(context), timeout=600)

    def restrictions(self, network: str, memory: str = "256m") -> list[str]:
        """Return the arguments of ``run`` that take every right away which an image does not need."""
        options = {
            "--network": network,
            "--user": f"{USER}:{USER}",
            "--cap-drop": "ALL",
            "--security-opt": "no-new-privileges",
            "--memory": memory,
            "--memory-reservation": "64m",
            "--cpus": "1",
            "--pids-limit": "64",
            "--tmpfs": "/tmp:rw,noexec,nosuid,nodev,size=16m",  # noqa: S108 - the container's own
        }
        # Podman would put writable file systems of its own over parts of the read-only root.
        flags = ["--read-only", *(["--read-only-tmpfs=false"] if self.is_podman else [])]
        return [*flags, *(part for option in options.items() for part in option)]

    def is_healthy(self, name: str) -> bool:
        """Tell what the image's own health check says."""
        if self.is_podman:  # without systemd nobody runs it regularly
            return self.ask("healthcheck", "run", name).returncode == 0
        return self.ask("inspect", "--format", "{{.State.Health.Status}}", name).stdout.strip() == "healthy"

    def state(self, name: str) -> dict[str, object]:
        """Return the ``State`` of a container."""
        found: dict[str, object] = json.loads(self.do("inspect", "--format", "{{json .State}}", name))
        return found

    def wait_until(self, true: Callable[[], bool], what: str, *names: str) -> None:
        """Wait for something that containers do; on failure tell what these have said."""
        end = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > end:
                said = [f"{name}: {self.ask('logs', '--tail', '20', name)}" for name in names]
                raise AssertionError(f"did not happen in {PATIENCE:g} s: {what}\n" + "\n".join(said))
            time.sleep(0.3)

    def wait_until_healthy(self, name: str) -> None:
        """Wait for the image's own health check to succeed."""
        self.wait_until(lambda: self.is_healthy(name), f"{name} is healthy", name)


@contextmanager
def own_network(engine: Engine) -> Iterator[str]:
    """Yield a bridge network; remove it afterwards, with the containers and volumes whose names begin like its own."""
    name = f"e2e-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    engine.do("network", "create", "--driver", "bridge", name)
    try:
        yield name
    finally:
        _remove(engine, name)


def _remove(engine: Engine, prefix: str) -> None:
    names = engine.ask("ps", "--all", "--filter", f"name={prefix}", "--format", "{{.Names}}").stdout.split()
    if names:  # in one command: one may depend on another
        at_once = ["--time", "0"] if engine.is_podman else []
        engine.ask("rm", "--force", *at_once, "--volumes", *names)
    for volume in engine.ask("volume", "ls", "--filter", f"name={prefix}", "--format", "{{.Name}}").stdout.split():
        engine.ask("volume", "rm", "--force", volume)
    engine.ask("network", "rm", prefix)


# ---------------------------------------------------------------- what there is


def prepare(folder: Path) -> tuple[Engine, str]:
    """Return a working engine and the image to build on. Raises ``UnavailableError`` with the reason if there is none.

    ``folder`` is for what is needed on the way. ``OUTRIDER_E2E_BASE`` names the image, if it is set.
    """
    engine = find_engine()
    base = os.environ.get("OUTRIDER_E2E_BASE") or find_base(engine, folder)
    engine = with_limits_that_work(engine, base, folder)
    return replace(engine, folder=folder, build_options=build_options(engine, folder)), base


def find_engine() -> Engine:
    """Return the first engine that answers: the one of ``CONTAINER_ENGINE``, else Docker or Podman."""
    wanted = os.environ.get("CONTAINER_ENGINE")
    for program in [wanted] if wanted else ["docker", "podman"]:
        if shutil.which(program) and Engine(program).ask("info").returncode == 0:
            return Engine(program)
    raise UnavailableError("no container engine that answers: neither docker nor podman")


def with_limits_that_work(engine: Engine, base: str, folder: Path) -> Engine:
    """Return the engine so configured that it can start a container here.

    Podman raises the limits on open files and processes, which not every machine lets it do.
    """
    plain = engine.ask("run", "--rm", base, "true")
    if plain.returncode == 0:
        return engine
    config = folder / "containers.conf"
    config.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
    limited = Engine(engine.program, {"CONTAINERS_CONF": str(config)})
    if engine.is_podman and limited.ask("run", "--rm", base, "true").returncode == 0:
        return limited
    raise UnavailableError(f"{engine.program} cannot start a container: {plain.stderr.strip()[-300:]}")


def find_base(engine: Engine, folder: Path) -> str:
    """Return the image to build on: one that is here, else pulled, else made."""
    for image in (PULLED, STAND_IN):
        if engine.ask("image", "inspect", image).returncode == 0:
            return image
    if engine.ask("pull", "--quiet", PULLED, timeout=300).returncode == 0:
        return PULLED
    return make_stand_in(engine, folder)


def make_stand_in(engine: Engine, folder: Path) -> str:
    """Make the image from Debian's packages; needs root and debootstrap."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise UnavailableError(f"{PULLED} cannot be pulled, and making one needs root and debootstrap")
    mirror = debian_mirror(_apt_sources())
    if mirror is None:
        raise UnavailableError(f"{PULLED} cannot be pulled, and no Debian mirror is configured to make one from")
    root, packed = folder / "root", folder / "root.tar"
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(root), mirror]
    made = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if made.returncode != 0:
        raise UnavailableError(f"debootstrap: {made.stdout[-500:]}")
    pack = ["tar", "-C", str(root), "--exclude=./dev/*", "-cf", str(packed), "."]
    subprocess.run(pack, check=True, timeout=120)
    shutil.rmtree(root)
    engine.do("import", str(packed), STAND_IN, timeout=120)
    packed.unlink()
    return STAND_IN


def _apt_sources() -> str:
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    return "\n".join(file.read_text() for file in files if file.is_file())


def debian_mirror(sources: str) -> str | None:
    """Return the first address that apt gets Debian itself from: its path ends in /debian. Both of apt's formats."""
    for line in sources.splitlines():
        words = line.split()
        if words and words[0] in {"deb", "URIs:"}:
            addresses = [word for word in words[1:] if "://" in word and word.rstrip("/").endswith("/debian")]
            if addresses:
                return addresses[0]
    return None


# ---------------------------------------------------------------- how to build here


def build_options(engine: Engine, folder: Path) -> list[str]:
    """Return what a build needs on this machine: the host's network, and its pip configuration, mounted."""
    if not engine.is_podman:
        return []  # Docker mounts nothing into a build; its daemon has to be configured
    options = ["--format", "docker", "--network=host"]
    settings = pip_settings(_pip_config())
    if not settings:
        return options
    config = folder / "pip.conf"
    config.touch(mode=0o600)  # an address may hold a password
    config.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    mounts = {str(config): "/etc/pip.conf", **{value: value for value in settings.values() if Path(value).is_file()}}
    return [*options, *(part for here, there in mounts.items() for part in ("--volume", f"{here}:{there}:ro"))]


def _pip_config() -> str:
    pip = shutil.which("pip") or "pip"
    done = subprocess.run([pip, "config", "list"], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout if done.returncode == 0 else ""


def pip_settings(listed: str) -> dict[str, str]:
    """Return the settings that ``pip config list`` prints, as for one file, without folders of this machine."""
    settings = {}
    for line in listed.splitlines():
        key, equals, value = line.partition("=")
        value = value.strip("'\"")
        if equals and not Path(value).is_dir():
            settings[key.rpartition(".")[2]] = value
    return settings


def script_environ(engine: Engine, base: str) -> dict[str, str]:
    """Return the environment in which ``run_tests.sh`` builds as these tests do."""
    variables = {"BASE_IMAGE": base, "CONTAINER_ENGINE": engine.program}
    return {**os.environ, **engine.environ, **variables, "CONTAINER_BUILD_ARGS": " ".join(engine.build_options)}
