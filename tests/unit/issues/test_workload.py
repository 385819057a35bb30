"""The parts of an event that describe the workload."""

from __future__ import annotations

import os

import pytest

from agent.issues.event import workload as module
from agent.issues.event.encode import encode_event
from agent.issues.event.frames import EncodeOptions
from agent.issues.event.workload import Workload
from agent.issues.reading.record_event import record_event
from agent.issues.reading.rules import Rules
from agent.target.program import Program
from agent.target.roots import Root
from tests.support.sentry import SUBJECT, records_of

TEXT = (
    'Traceback (most recent call last):\n  File "/venv/lib/python3.12/site-packages/flask/app.py", line 9, in dispatch_request\n    x()\n'
    '  File "/srv/shop.py", line 3, in basket\n    y()\nKeyError: 7\n'
)
PATHS = ("/venv/lib/python3.12/site-packages/flask/app.py", "/srv/shop.py")
PROGRAM = Program("/usr/local/bin/python3.12", ("/venv/bin/python", "shop.py", "--token=hunter2"), "/srv")


@pytest.fixture
def root(tmp_path):
    """The root of a container with a virtual environment."""
    site = tmp_path / "venv/lib/python3.12/site-packages"
    for name in ("Flask-3.1.0.dist-info", "typing_extensions-4.12.2.dist-info", "old-1.0-py3.12.egg-info", "flask", "nonsense.dist-info"):
        (site / name).mkdir(parents=True)
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /usr/local/bin\nversion = 3.12.4\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n')
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield Root(fd, None, program=PROGRAM)
    os.close(fd)


def test_what_is_known_of_a_process(root) -> None:
    """Interpreter with its exact version, kernel and distribution, machine, distributions with versions, the command line without secrets."""
    around = Workload(lambda: [root], lambda text: text.replace("hunter2", "[REDACTED]")).around(PATHS)
    assert around.contexts["runtime"] == {"name": "CPython", "version": "3.12.4"}
    assert around.contexts["os"]["name"] == "Linux"
    assert around.contexts["os"]["distribution_pretty_name"] == "Debian GNU/Linux 12 (bookworm)"
    assert around.contexts["device"]["arch"] == os.uname().machine
    assert around.modules == {"flask": "3.1.0", "typing-extensions": "4.12.2", "old": "1.0"}
    assert around.command == "/venv/bin/python shop.py --token=[REDACTED]"


def test_distributions_without_such_frames(root) -> None:
    """Where no frame lies in an installed package the interpreter says by its path which ones there are, and by its bare name nothing."""
    assert "flask" in Workload(lambda: [root]).around(["/srv/shop.py"]).modules
    for called, known in (("../venv/bin/python3", True), ("python", False)):
        root.program = Program("/usr/local/bin/python3.12", (called, "shop.py"), "/srv")
        assert ("flask" in Workload(lambda: [root]).around(["/srv/shop.py"]).modules) is known


def test_where_no_process_is_known() -> None:
    """Only what the paths of the frames say is claimed."""
    around = Workload().around(PATHS)
    assert (dict(around.contexts), dict(around.modules), around.command) == ({"runtime": {"name": "CPython", "version": "3.12"}}, {}, "")
    assert dict(Workload().around(["/srv/shop.py"]).contexts) == {}


@pytest.mark.parametrize(
    ("executable", "paths", "name", "version"),
    [
        ("/usr/bin/pypy3.10", (), "PyPy", "3.10"),
        ("/usr/bin/python3", ("/usr/lib/python3.11/json/decoder.py",), "CPython", "3.11"),
        ("/usr/bin/dash", ("/opt/pypy/lib/pypy3.10/json/decoder.py",), "PyPy", "3.10"),
        ("/usr/bin/python3.13t", (), "CPython", "3.13"),
    ],
)
def test_interpreters(tmp_path, executable, paths, name, version) -> None:
    """The executable's name tells the interpreter, and where that is a launcher, the place of the standard library does."""
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    runtime = Workload(lambda: [Root(fd, None, program=Program(executable))]).around(paths).contexts["runtime"]
    os.close(fd)
    assert runtime == {"name": name, "version": version}


def test_directories_are_read_once(root, monkeypatch) -> None:
    """A directory that stays as it is is listed once."""
    workload, listed = Workload(lambda: [root]), []
    original = module._named
    monkeypatch.setattr(module, "_named", lambda fd: listed.append(fd) or original(fd))
    for _ in range(3):
        workload.around(PATHS)
    assert len(listed) == 1


def test_the_event_has_it(root) -> None:
    """The main script's frames are `__main__`'s although the stack does not go down to it; command line, modules and contexts are in the event."""
    event = encode_event(record_event(records_of(TEXT.encode())[0], SUBJECT, Rules()), EncodeOptions(workload=Workload(lambda: [root])))
    assert [frame["module"] for frame in event["exception"]["values"][0]["stacktrace"]["frames"]] == ["flask.app", "__main__"]
    assert event["extra"]["process.command_line"].startswith("/venv/bin/python shop.py")
    assert (event["modules"]["flask"], event["contexts"]["runtime"]["version"]) == ("3.1.0", "3.12.4")
