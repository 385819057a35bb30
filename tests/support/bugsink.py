"""A real Sentry-compatible server: Bugsink, installed into an environment of its own and run on a port of 127.0.0.1.

Its packages must not mix with ours. `OUTRIDER_TEST_CACHE` says where the environment is kept (default: the user's cache directory), so that it
is installed once, and its empty database made once; where that is impossible, the tests that need it skip and say why.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

CACHE = Path(os.environ.get("OUTRIDER_TEST_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outrider-tests")
INSTALL_SECONDS = 400
VALIDATOR = """
import json, sys
from bugsink.event_schema import validate
for line in sys.stdin:
    event = json.loads(line)
    try:
        validate(event)
        print("")
    except Exception as error:
        print(str(error).replace(chr(10), " ")[:500])
"""


@cache
def environment() -> Path:
    """The environment's folder of programs; skips the test where there can be none."""
    home = CACHE / "bugsink"
    programs = home / "bin"
    if not (programs / "bugsink-manage").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True, timeout=INSTALL_SECONDS)
            command = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "bugsink"]
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"bugsink can't be installed here: {error}")
    return programs


@cache
def prepared() -> Path:
    """A folder with the database of a server that has an administrator, and with a token for its API: tables take much longer than tests."""
    made = CACHE / "bugsink" / "prepared"
    if not made.exists():
        environment()
        folder = Path(tempfile.mkdtemp(dir=CACHE))
        _run(folder, "bugsink-create-conf", "--template=local", "--host=127.0.0.1")
        _run(folder, "bugsink-manage", "migrate")
        _run(folder, "bugsink-manage", "migrate", "snappea", "--database=snappea")
        _run(folder, "bugsink-manage", "prestart", CREATE_SUPERUSER="admin@example.com:admin")
        (folder / "token").write_text(_run(folder, "bugsink-manage", "create_auth_token").split()[-1])
        (folder / "bugsink_conf.py").unlink()
        with contextlib.suppress(OSError):  # another process was faster
            folder.rename(made)
        shutil.rmtree(folder, ignore_errors=True)
    return made


def _variables() -> dict[str, str]:
    return {**os.environ, "PATH": f"{environment()}:{os.environ['PATH']}"}


def _run(folder: Path, *command: str, **more: str) -> str:
    done = subprocess.run(command, cwd=folder, env={**_variables(), **more}, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def validate(events: list[dict]) -> list[str]:
    """The errors of each event by Sentry's own event schema; "" if there are none."""
    text = "".join(json.dumps(event) + "\n" for event in events)
    done = subprocess.run([environment() / "python", "-c", VALIDATOR], input=text, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


class Bugsink(NamedTuple):
    """A running server, and one of its projects."""

    port: int
    token: str
    dsn: str
    project: int = 1
    team: str = ""

    def another(self, name: str) -> Bugsink:
        """A further project of the server."""
        number = self.post("projects/", {"name": name, "team": self.team})["id"]
        return self._replace(dsn=self.get(f"projects/{number}/")["dsn"], project=number)

    def get(self, path: str) -> dict:
        """Ask its API."""
        url = f"http://127.0.0.1:{self.port}/api/canonical/0/{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict) -> dict:
        """Make something over its API."""
        url = f"http://127.0.0.1:{self.port}/api/canonical/0/{path}"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def issues(self) -> list[dict]:
        """All issues of the project."""
        return self._pages(f"issues/?project={self.project}")

    def events(self, issue: str) -> list[dict]:
        """All events of an issue, whole."""
        return [self.get(f"events/{one['id']}/")["data"] for one in self._pages(f"events/?issue={issue}")]

    def count(self) -> int:
        """How many events all issues have, together."""
        return sum(len(self._pages(f"events/?issue={issue['id']}")) for issue in self.issues())

    def _pages(self, path: str) -> list[dict]:
        found, page = [], self.get(path)
        while True:
            found += page["results"]
            if not page.get("next"):
                return found
            page = self.get(page["next"].split("/api/canonical/0/", 1)[1])


@contextlib.contextmanager
def running(folder: Path, **options: object):
    """A server in a folder, within the context; `options` go into its `BUGSINK` settings."""
    shutil.copytree(prepared(), folder, dirs_exist_ok=True)
    token = (folder / "token").read_text()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _run(folder, "bugsink-create-conf", "--template=local", f"--port={port}", "--host=127.0.0.1")
    _configure(folder / "bugsink_conf.py", {"PHONEHOME": False, "VALIDATE_ON_DIGEST": "strict", **options})
    command = ["gunicorn", f"--bind=127.0.0.1:{port}", "--workers=1", "bugsink.wsgi"]
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=_variables(), stdout=log, stderr=log) as server,
    ):
        try:
            _wait(port, server)
            bare = Bugsink(port, token, "")
            team = bare.post("teams/", {"name": "e2e"})["id"]
            yield bare._replace(team=team).another("workload")
        finally:
            server.terminate()


def _configure(file: Path, options: dict[str, object]) -> None:
    lines = "".join(f"    {key!r}: {value!r},\n" for key, value in options.items())
    text = re.sub(r"\n\s*['\"](?:" + "|".join(options) + r")['\"]:[^\n]*", "", file.read_text())
    file.write_text(text.replace("BUGSINK = {\n", "BUGSINK = {\n" + lines))


def _wait(port: int, server: subprocess.Popen) -> None:
    for _ in range(200):
        if server.poll() is not None:
            pytest.fail("bugsink has ended")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("bugsink does not become ready")
