from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest
import structlog

from agent.component import Context
from agent.metrics import Metrics
from agent.sources.process_tree import ProcessTree, ProcessTreeConfig
from agent.telemetry import Telemetry
from agent.testing.clock import START_NS, FakeClock
from tests.support.fake_proc import FakeProc

BURN = "import time\nwhile time.process_time() < 0.3: pass\nopen({path!r}, 'wb').write(b'x')\ninput()"


@pytest.fixture
def context():
    """The context of a host, with events that are dropped."""
    clock = FakeClock()
    metrics = Metrics({}, clock)
    with structlog.testing.capture_logs():
        yield Context("tree", clock, metrics, Telemetry(metrics, clock), {}, dict)


@pytest.fixture
def proc(tmp_path):
    """An empty process table."""
    return FakeProc(tmp_path)


def _tree(proc: FakeProc, context: Context, **options) -> ProcessTree:
    return ProcessTree(ProcessTreeConfig(target="pid:7", proc_dir=proc.root, **options), context)


def _values(tree: ProcessTree) -> dict:
    found = {}
    for one in tree.sample():
        rest = [value for key, value in one.attributes.items() if key not in ("scope", "target")]
        found[".".join([one.metric.name, *rest])] = one.value
    return found


def test_a_tree_is_measured(proc, context):
    """All figures of a process and its child, under OpenTelemetry's names, labelled with scope and target."""
    proc.put(7, user=3, started=40)
    proc.put(8, parent=7, user=2, started=60)
    proc.put(9, parent=1, user=99)
    values = _values(_tree(proc, context))
    assert values == {
        "outrider.target.processes": 2,
        "outrider.target.exits": 0,
        "outrider.target.restarts": 0,
        "process.cpu.time.user": 5,
        "process.cpu.time.system": 0,
        "process.context_switches.voluntary": 8,
        "process.context_switches.involuntary": 2,
        "process.disk.io.read": 8192,
        "process.disk.io.write": 16384,
        "process.uptime": 60,
        "process.memory.usage": 2 * os.sysconf("SC_PAGE_SIZE"),
        "process.memory.virtual": 4 * os.sysconf("SC_PAGE_SIZE"),
        "process.thread.count": 4,
        "process.unix.file_descriptor.count": 6,
        "process.unix.file_descriptor.utilization": 0.3,
    }


def test_counters_say_since_when(proc, context):
    """Counters begin when the target began, not when the agent did."""
    proc.put(7, started=40)
    [start] = {one.start_ns for one in _tree(proc, context).sample() if one.metric.name == "process.cpu.time"}
    assert start == START_NS - 60 * 10**9


def test_an_absent_target_is_a_trouble(proc, context):
    """A missing target is reported as long as it is missing, with the reason, and not before the first sample."""
    tree = ProcessTree(ProcessTreeConfig(target="name:app", proc_dir=proc.root), context)
    assert tree.troubles() == []
    tree.sample()
    assert [trouble.partition(":app ")[2].partition(":")[0] for trouble in tree.troubles()] == ["is not there now"]
    proc.put(7, command=b"app\0")
    tree.sample()
    assert tree.troubles() == []


def test_children_can_be_left_out(proc, context):
    """With `children: false` only the target itself is measured."""
    proc.put(7, user=3)
    proc.put(8, parent=7, user=2)
    assert _values(_tree(proc, context, children=False))["process.cpu.time.user"] == 3


def test_figures_survive_the_process(proc, context):
    """When the target is gone its counters stay, its gauges disappear, and its return is reported and counted."""
    tree = ProcessTree(ProcessTreeConfig(target="name:app", proc_dir=proc.root), context)
    proc.put(7, user=3, command=b"app\0")
    _values(tree)
    proc.drop(7)
    gone = _values(tree)
    assert (gone["process.cpu.time.user"], gone["outrider.target.processes"], gone["outrider.target.exits"]) == (3, 0, 1)
    assert "process.memory.usage" not in gone
    proc.put(17, user=1, started=90, command=b"app\0")
    back = _values(tree)
    assert (back["process.cpu.time.user"], back["outrider.target.restarts"], back["process.uptime"]) == (4, 1, 10)


def test_a_child_that_ends_costs_no_count(proc, context):
    """A child's CPU moves to its parent when it is waited for; a zombie counts as ended already."""
    tree = _tree(proc, context)
    proc.put(7, user=1)
    proc.put(8, parent=7, user=5)
    totals = [_values(tree)]
    proc.put(8, parent=7, user=6, state="Z")
    totals.append(_values(tree))
    proc.drop(8)
    proc.put(7, user=1, waited=6)
    totals.append(_values(tree))
    assert [one["process.cpu.time.user"] for one in totals] == [6, 7, 7]
    assert [one["outrider.target.processes"] for one in totals] == [2, 1, 1]
    assert totals[-1]["outrider.target.exits"] == 1


def _refused(process: psutil.Process) -> None:
    raise psutil.AccessDenied(process.pid)


_refused.cache_activate = _refused.cache_deactivate = lambda _process: None  # what `oneshot` expects of some methods


def test_what_may_not_be_read_is_left_out_and_told_once(proc, context, monkeypatch):
    """Figures that need a permission are absent, not zero; the log says once which, and what would allow them."""
    proc.put(7, user=3)
    tree = _tree(proc, context)
    monkeypatch.setattr(psutil.Process, "io_counters", _refused)
    monkeypatch.setattr(psutil.Process, "num_fds", _refused)
    for _ in range(3):
        values = _values(tree)
    assert not any(name.startswith(("process.disk", "process.unix")) for name in values)
    assert values["process.cpu.time.user"] == 3
    told = [one.details for one in context.telemetry.recent]
    assert [one["figures"] for one in told] == ["file descriptors", "disk I/O"]  # the newest first
    assert all("CAP_SYS_PTRACE" in one["remedy"] for one in told)


@pytest.mark.parametrize(
    ("method", "gone"),
    [
        ("memory_info", "process.memory"),
        ("num_threads", "process.thread"),
        ("num_ctx_switches", "process.context_switches"),
        ("num_fds", "process.unix"),
        ("io_counters", "process.disk"),
    ],
)
def test_no_figure_is_a_guess(proc, context, monkeypatch, method, gone):
    """Whatever figure can't be read is absent alone."""
    proc.put(7, user=3)
    every = _values(_tree(proc, context))
    monkeypatch.setattr(psutil.Process, method, _refused)
    rest = _values(_tree(proc, context))
    assert every.keys() - rest.keys() == {name for name in every if name.startswith(gone)} != set()


def test_a_kernel_that_does_not_count_disk_io_is_no_error(proc, context, monkeypatch):
    """Where psutil has no such method the figure is absent, and reported."""
    proc.put(7, user=3)
    monkeypatch.delattr(psutil.Process, "io_counters")
    values = _values(_tree(proc, context))
    assert not any(name.startswith("process.disk") for name in values)
    assert [one.details.get("figures") for one in context.telemetry.recent][:1] == ["disk I/O"]


def test_a_setting_of_the_whole_process_is_given_back(proc, context):
    """Another mount is looked at for the time of a sample only: the agent's own figures come from its own."""
    _values(_tree(proc, context))
    assert psutil.PROCFS_PATH == "/proc"


def test_a_reused_number_is_an_exit_and_a_restart(proc, context):
    """A process that took over a number is another one, from the next sample on; nothing of the first one's is lost."""
    tree = ProcessTree(ProcessTreeConfig(target="name:app", proc_dir=proc.root), context)
    proc.put(7, user=3, command=b"app\0")
    _values(tree)
    proc.put(7, user=1, started=90, command=b"app\0")
    _values(tree)
    values = _values(tree)
    assert (values["process.cpu.time.user"], values["outrider.target.exits"], values["outrider.target.restarts"]) == (4, 1, 1)


def test_a_target_that_never_was_is_no_error(proc, context):
    """It gives zeros and no gauge."""
    values = _values(_tree(proc, context))
    assert (values["outrider.target.processes"], "process.uptime" in values) == (0, False)


def test_what_is_no_process_table_is_said_to_be_none(tmp_path, context):
    """A `proc_dir` where nothing is mounted is an error that names it, not an absent target."""
    tree = ProcessTree(ProcessTreeConfig(target="pid:7", proc_dir=tmp_path), context)
    with pytest.raises(OSError, match=str(tmp_path)):
        tree.sample()


def test_a_real_process_is_measured(context, tmp_path):
    """The figures of a real child are what it did; after its end its CPU time is still there."""
    path = tmp_path / "file"
    child = subprocess.Popen([sys.executable, "-c", BURN.format(path=str(path))], stdin=subprocess.PIPE)
    tree = ProcessTree(ProcessTreeConfig(target=f"pid:{child.pid}"), context)
    try:
        while not path.exists():
            values = _values(tree)
        values = _values(tree)
    finally:
        child.communicate(b"\n")
    after = _values(tree)
    cpu = sum(value for name, value in values.items() if name.startswith("process.cpu.time"))
    assert cpu >= 0.25
    assert values["process.memory.usage"] > 1_000_000
    assert values["process.unix.file_descriptor.count"] >= 3
    assert sum(value for name, value in after.items() if name.startswith("process.cpu.time")) >= cpu
    assert (after["outrider.target.processes"], after["outrider.target.exits"]) == (0, 1)
