from __future__ import annotations

import ctypes
import importlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from agent.lean import defer, give_back, stand_ins

if TYPE_CHECKING:
    from pathlib import Path

LEFT_OUT = ("_ssl", "_hashlib", "importlib.metadata", "email.message", "zipfile", "html.entities", "difflib", "http.server", "sentry_sdk")
"""Modules that an agent without TLS, Sentry and faults does not use."""

TOY = """
executed = executed + 1 if "executed" in globals() else 1
def early(): return 1
import {name}
late = getattr({name}, "nowhere", "default")
"""


def run(script: str) -> str:
    """The output of a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module `lean_toy`, which can be imported and is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delitem(sys.modules, "lean_toy", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "lean_toy.py"
    path.write_text(TOY.format(name="lean_toy"))
    return path


def test_an_agent_is_imported_without_what_it_does_not_use():
    """Nothing that starts a plain agent, serves its metrics, or reads its configuration loads TLS, HTML, e-mail or archives."""
    script = """
import sys
from agent.cli import _runtime
_runtime()
import agent.config, agent.sources.log_files, agent.sources.process_tree, agent.sources.probes.tcp, agent.exporters.otlp_http
import agent.encode.otlp_metrics
from agent.lean import SERVING, stand_ins
with stand_ins(*SERVING):
    import agent.server.prometheus
print(*sorted(sys.modules))
"""
    loaded = run(script).split()
    assert "agent.server.prometheus" in loaded
    assert set(LEFT_OUT) & set(loaded) == set()


@pytest.mark.parametrize("looking", ["importlib_metadata.distributions()", "importlib_metadata.entry_points(group='pydantic')"])
def test_an_agent_starts_with_each_way_in_which_pydantic_looks_for_plugins(looking: str):
    """Its releases ask `importlib.metadata` different things; each gets none, and the agent's first model can be made."""
    script = f"""
import importlib.util, sys
class Loader:
    def create_module(self, spec): return None
    def exec_module(self, module):
        exec("import importlib.metadata as importlib_metadata\\ndef get_plugins(): return list({looking})", vars(module))
class Finder:
    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, Loader()) if name == "pydantic.plugin._loader" else None
sys.meta_path.insert(0, Finder())
from agent.cli import _runtime
print(_runtime().func.__name__)
"""
    assert run(script) == "run_agent"


def test_tls_works_when_it_is_asked_for():
    """The first use of TLS loads it, whole: asyncio's part, the standard library's, and the class that no socket was of before."""
    script = """
from agent.cli import _runtime
_runtime()
import asyncio, socket, ssl, sys
before = "_ssl" in sys.modules, isinstance(socket.socket(), ssl.SSLSocket)
context = ssl.create_default_context()
from asyncio import sslproto
print(before, sslproto.SSLAgainErrors == (ssl.SSLWantReadError, ssl.SSLSyscallError), issubclass(ssl.SSLSocket, socket.socket),
      type(context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="x")) is ssl.SSLObject)
"""
    assert run(script) == "(False, False) True True True"


def test_a_deferred_module_is_executed_once_and_then_is_a_module_like_any_other(toy: Path):
    """Importing it twice does not execute it; the first name that is asked for does, once; what it had meanwhile is replaced by its own."""
    defer({"lean_toy": {"early": None}})
    module = importlib.import_module("lean_toy")
    assert importlib.import_module("lean_toy") is module
    assert module.early is None
    assert "executed" not in vars(module)
    assert (module.executed, module.early(), module.late) == (1, 1, "default")
    assert type(module) is type(sys)
    assert module.__file__ == str(toy)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = module.missing


@pytest.mark.usefixtures("toy")
def test_a_special_name_does_not_execute_it():
    """Looking through all modules for `__path__` or `__wrapped__` does not execute the deferred ones."""
    defer({"lean_toy": {}})
    module = importlib.import_module("lean_toy")
    assert not hasattr(module, "__wrapped__")
    assert "executed" not in vars(module)


def test_a_failure_is_told_to_everybody_who_asks(toy: Path):
    """A module that can't be executed raises at each use, and works once the cause is gone."""
    toy.write_text("raise OSError('not now')")
    defer({"lean_toy": {}})
    module = importlib.import_module("lean_toy")
    for _ in range(2):
        with pytest.raises(OSError, match="not now"):
            _ = module.executed
    toy.write_text("executed = 'at last'")
    assert module.executed == "at last"


def test_threads_that_ask_at_once_execute_it_once(toy: Path):
    """The second waits until the first has executed it, and sees all of it."""
    toy.write_text("import time\nimport lean_runs\nlean_runs.append(1)\ntime.sleep(0.05)\nlast = 1\n")
    defer({"lean_toy": {}})
    runs: list[int] = []
    sys.modules["lean_runs"] = runs  # type: ignore[assignment]
    module = importlib.import_module("lean_toy")
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(module.last)) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        del sys.modules["lean_runs"]
    assert (seen, runs) == ([1, 1, 1, 1], [1])


@pytest.mark.usefixtures("toy")
def test_a_stand_in_can_be_inherited_from_and_not_be_made():
    """Within the block the module is empty except for its stand-ins; making an object of its classes reports that it is left out; then it is gone."""
    with stand_ins("lean_toy", given=7):
        import lean_toy  # type: ignore[import-not-found]

        class Child(lean_toy.One, lean_toy.Other):  # type: ignore[misc]
            pass

        assert lean_toy.given == 7
    assert "lean_toy" not in sys.modules
    with pytest.raises(RuntimeError, match=r"Child is left out of this process"):
        Child()


@pytest.mark.usefixtures("toy")
def test_what_is_in_use_is_not_replaced_and_what_is_deferred_comes_back():
    """A module that is already imported stays itself within the block; one that is only deferred is deferred again after it."""
    in_use = importlib.import_module("json")
    defer({"lean_toy": {}})
    deferred = importlib.import_module("lean_toy")
    with stand_ins("json", "lean_toy"):
        assert sys.modules["json"] is in_use
        assert sys.modules["lean_toy"] is not deferred
    assert sys.modules["lean_toy"] is deferred
    assert deferred.executed == 1


def test_a_c_library_that_cannot_give_back_is_let_be(monkeypatch: pytest.MonkeyPatch):
    """Without `malloc_trim` (musl) nothing happens; with it, it is called with no pad."""
    calls: list[int] = []

    class Glibc:
        malloc_trim = staticmethod(calls.append)

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    give_back()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Glibc)
    give_back()
    assert calls == [0]
