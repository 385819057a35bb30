"""A process's program, and where its main program lies."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agent.target.program import Program, find_program, is_main, read_program

MAINS = {
    "python3 trade.py": "/srv/trade.py",
    "python3 -u -X dev -W error ./bin/../trade.py --fast": "/srv/trade.py",
    "python3 -O /opt/x/trade.py -m other": "/opt/x/trade.py",
    "python3 -m shop.worker -q": "shop/worker.py",
    "python3 -um shop": "shop.py",
    "python3 -mshop.worker": "shop/worker.py",
    "python3 -c pass trade.py": None,
    "python3 -": None,
    "python3": None,
    "python3 -Xdev --check-hash-based-pycs always trade.py": "/srv/trade.py",
}


@pytest.mark.parametrize(("line", "main"), MAINS.items(), ids=MAINS)
def test_the_main_program(line: str, main: str | None) -> None:
    """The script, relative to the working directory, or the module's file; none for code that has no file."""
    found = Program("/usr/bin/python3.12", tuple(line.split()), "/srv").main
    assert next(iter(found), None) == main


def test_what_is_no_python_has_no_main() -> None:
    """A shell's script is not a Python main program."""
    assert Program("/usr/bin/dash", ("sh", "trade.py"), "/srv").main == ()
    assert Program("/usr/bin/pypy3.10", ("pypy3", "trade.py"), "/srv").main[0] == "/srv/trade.py"


def test_which_files_are_main() -> None:
    """A path counts as it is, a module's place as the end of one."""
    assert is_main("/srv/trade.py", ("/srv/trade.py",))
    assert not is_main("/x/srv/trade.py", ("/srv/trade.py",))
    assert is_main("/venv/shop/__main__.py", ("shop.py", "shop/__main__.py"))
    assert not is_main("/venv/workshop.py", ("shop.py",))


def test_a_process_is_read() -> None:
    """Executable, command line and directory of a living process; nothing of one that is not there."""
    found = read_program(os.getpid())
    assert found is not None
    assert (found.executable, found.directory) == (os.path.realpath(sys.executable), os.getcwd())
    assert found.command == tuple(sys.orig_argv)
    assert read_program(2**22 + 1) is None


def test_a_program_behind_launchers() -> None:
    """Of shells that wait for a Python program that program is found; a process that waits for none is what it is."""
    script = f"sh -c '{sys.executable} -c \"print(1, flush=True); input()\"; true'; true"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        launcher.stdout.readline()
        found = find_program(launcher.pid)
        launcher.communicate(b"\n")
    assert found is not None
    assert (found.executable, found.command[1]) == (os.path.realpath(sys.executable), "-c")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        alone = find_program(other.pid)
        other.communicate()
    assert alone is not None
    assert alone.python is None
