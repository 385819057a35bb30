"""The shape of the code, read from its imports: they go down only, in no circle, and components know neither each other nor the host."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from agent import names, registry

ROOT = Path(__file__).parents[2]

LAYERS = {
    0: "record columns errors crash names",
    1: "clock retry options fds writable lean signals metrics own_log fold notices telemetry failures component",
    2: "parse encode issues redact tail target net resource health",
    3: "spool history sources exporters exec testing status",
    4: "registry config",
    5: "host server",
    6: "cli cli_spool generate __main__",
}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names.split()}

COMPONENTS = {"sources", "exporters", "exec"}
"""Where components stand. The command of `exec` is a source without a row in the registry: its command line makes it, not a configuration."""

MAY_START_TASKS = {"agent.net.http_server", "agent.net.server_connection", "agent.net.dial", "agent.host.delivery", "agent.host.commits"}
"""Where a task lives outside a task group, because what is awaited is a race of two (in `intake`: a commit and the caller's cancellation);
each ends its tasks whatever happens."""

HEAVY = {"ruamel", "redis", "sentry_sdk", "grpc", "hypothesis", "pytest"}
"""Packages that cost memory and are imported only by what is configured to need them."""


class Import(NamedTuple):
    """One import of one of our modules."""

    target: str
    typing: bool
    """Only under `if TYPE_CHECKING`."""
    lazy: bool
    """Inside a function."""


@cache
def modules() -> dict[str, Path]:
    """All modules by dotted name."""
    found = {}
    for path in sorted((ROOT / "agent").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree_of(name: str) -> ast.Module:
    """A module, parsed."""
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def imports_of(name: str) -> list[Import]:
    """Our own modules that a module imports."""
    found: list[Import] = []

    def visit(node: ast.AST, typing: bool, lazy: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, True, lazy)
            return
        for target in targets(node):
            found.append(Import(target, typing, lazy))
        for child in ast.iter_child_nodes(node):
            visit(child, typing, lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    visit(tree_of(name), False, False)
    return [one for one in found if one.target != name]


def targets(node: ast.AST) -> list[str]:
    """Our modules that an import statement names; of `from agent.x import y` y itself if it is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in modules()]
    if not isinstance(node, ast.ImportFrom) or node.level or not (node.module or "").startswith("agent"):
        return []
    deeper = [f"{node.module}.{alias.name}" for alias in node.names]
    return [one if one in modules() else node.module for one in deeper]


def top(module: str) -> str:
    """The part of the layout that a module belongs to: `spool` of `agent.spool.tables`."""
    return module.split(".")[1] if "." in module else ""


def test_shared_names_stand_once():
    """An attribute or event name that several parts use is written in `agent/names.py` and nowhere else."""
    attributes = re.compile(r"[a-z_]+(\.[a-z_]+)+")
    shared = {value for name, value in vars(names).items() if name.isupper() and attributes.fullmatch(value)}
    assert len(shared) > 20
    elsewhere = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for path in sorted((ROOT / "agent").rglob("*.py"))
        if path != ROOT / "agent" / "names.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in shared
    ]
    assert elsewhere == []


def test_every_module_has_a_layer():
    """Each module and package below `agent` stands in a layer."""
    tops = {top(name) for name in modules()} - {""}
    assert tops - set(LAYER_OF) == set(), "give it a layer above, and in ARCHITECTURE.md"


def test_the_document_agrees():
    """Where ARCHITECTURE.md names a module's layer, it is this one."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| ((?:`[\w/]+` ?)+)\|", text, re.MULTILINE)
    told = {name.rstrip("/"): int(layer) for layer, names in rows for name in re.findall(r"`([\w/]+)`", names)}
    assert len(told) > 20
    assert told == {name: LAYER_OF[name] for name in told}


def test_the_files_of_the_three_ways_exist():
    """Each file that ARCHITECTURE.md names on a way through the code is there."""
    ways = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Three ways through the code")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([\w/]+\.py)`", ways))
    there = {f"/{path.relative_to(ROOT)}" for path in (ROOT / "agent").rglob("*.py")}
    assert len(named) > 30
    assert {name for name in named if not any(path.endswith(f"/{name}") for path in there)} == set()


def test_imports_go_down_only():
    """No module imports one of a higher layer, not even for its types or within a function."""
    wrong = [
        f"{name} ({LAYER_OF[top(name)]}) imports {one.target} ({LAYER_OF[top(one.target)]})"
        for name in modules()
        if top(name)
        for one in imports_of(name)
        if top(one.target) and LAYER_OF[top(one.target)] > LAYER_OF[top(name)]
    ]
    assert wrong == []


def test_no_cycles():
    """No module imports itself by way of others; what is only needed for types does not count."""
    graph = {name: {one.target for one in imports_of(name) if not one.typing} for name in modules()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_host_and_its_pages_do_not_know_each_other():
    """Neither imports the other, not even for types: the command line gives the host what makes its listeners."""
    pair = {"host", "server"}
    assert [f"{name} imports {one.target}" for name in modules() for one in imports_of(name) if {top(name), top(one.target)} == pair] == []


def test_components_know_only_the_contract():
    """A source, probe or exporter imports no other component and nothing of the store; helpers of its own have its name."""
    rows = [row.target.partition(":")[0] for row in registry.rows() if row.target.startswith("agent.")]
    wrong = []
    for name in modules():
        if top(name) in COMPONENTS:
            for one in imports_of(name):
                other_kind = top(one.target) in COMPONENTS - {top(name)}
                if other_kind or top(one.target) in ("spool", "testing") or (one.target in rows and one.target != name):
                    wrong.append(f"{name} imports {one.target}")
    assert wrong == []


def has_config(node: ast.ClassDef) -> bool:
    """Whether a class is a component: it has a `Config`, assigned or defined inside."""
    return any(
        getattr(inner, "name", "") == "Config" or getattr(getattr(inner, "target", None), "id", "") == "Config" for inner in node.body
    )


def test_every_component_is_registered():
    """Each module of sources, probes and exporters that defines a component is the target of a row."""
    targets = {row.target.partition(":")[0] for row in registry.rows()}
    defining = {
        name
        for name in modules()
        if top(name) in COMPONENTS and any(has_config(node) for node in tree_of(name).body if isinstance(node, ast.ClassDef))
    }
    assert defining == targets & set(modules())


def test_tasks_live_in_groups():
    """A task outside a task group, which its starter may not wait for, is started only where it is named above."""
    wrong = []
    for name in modules():
        if top(name) == "testing" or name in MAY_START_TASKS:
            continue
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                text = ast.unparse(node.func)
                if text in ("asyncio.create_task", "asyncio.ensure_future") or re.search(r"loop(\(\))?\.create_task$", text):
                    wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


def test_nobody_catches_everything():
    """`except Exception` stands only in the host, where a failure is reported, where one is handed to the waiting task, and where the command of
    `exec` runs although we can't; never in a component.
    """
    host = {
        "agent.cli",
        "agent.host.runtime",
        "agent.host.ending",
        "agent.host.intake",
        "agent.host.supervise",
        "agent.host.probing",
        "agent.host.sampling",
        "agent.host.delivery",
        "agent.net.server_connection",
        "agent.issues.changes",
        "agent.spool.thread",
    }
    wrong = []
    for name in modules():
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.ExceptHandler) and name not in host and top(name) != "testing":
                kinds = {"Exception", "BaseException"} if node.type is None else {ast.unparse(node.type)} & {"Exception", "BaseException"}
                reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
                if kinds and not reraises:
                    wrong.append(f"{name}:{node.lineno}")
    assert wrong == []


@pytest.mark.parametrize("module", ["agent.config", "agent.host.runtime", "agent.cli"])
def test_heavy_packages_are_imported_only_where_configured(module):
    """The agent without a file and without destinations loads none of the packages that only some configurations need."""
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert set(loaded) & HEAVY == set()
