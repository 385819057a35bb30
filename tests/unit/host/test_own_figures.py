from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from agent import __version__
from agent.host.own_figures import process_figures, spool_figures
from agent.spool.values import SpoolStat, State


def _stat(**changes) -> SpoolStat:
    values = {
        "path": Path("/x"), "state": State.OK, "reason": "", "quota": 1000, "used": 400, "file_size": 500, "wal_size": 60, "ballast_size": 7,
        "rows": 3, "records": 90, "oldest_ns": 5_000_000_000, "dead_letters": 2, "cursors": (), "configured": (), "orphans": (), "sqlite": "3", "schema": 1,
    }  # fmt: skip
    return SpoolStat(**(values | changes))


def _values(observations) -> dict:
    return {".".join([one.metric.name, *one.attributes.values()]): one.value for one in observations}


def test_our_process_is_measured():
    """The agent tells its own cost: CPU, memory, descriptors, threads, and what it is."""
    values = _values(process_figures())
    assert any(name.startswith(f"outrider.build_info.{__version__}") for name in values)
    assert values["outrider.process.cpu.time.user"] > 0
    assert 5_000_000 < values["outrider.process.memory.usage"] < 2_000_000_000
    assert values["outrider.process.thread.count"] >= 1
    before = values["outrider.process.unix.file_descriptor.count"]
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        assert _values(process_figures())["outrider.process.unix.file_descriptor.count"] == before + 1
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("error", [psutil.AccessDenied(1), OSError("too many open files")])
def test_what_can_not_be_read_costs_no_other_figure(monkeypatch, error):
    """Where /proc can't be read, or no descriptor is left to read it with, the build is still reported."""
    monkeypatch.setattr(psutil.Process, "num_fds", _raiser(error))
    names = {one.metric.name for one in process_figures()}
    assert {"outrider.build_info", "outrider.process.memory.usage"} <= names
    assert "outrider.process.unix.file_descriptor.count" not in names


def _raiser(error):
    def refuse(_process):
        raise error

    return refuse


@pytest.mark.parametrize(("state", "writable"), [(State.OK, 1), (State.FULL, 0), (State.DEGRADED, 0)])
def test_the_spool_is_measured(state, writable):
    """Size against quota, rows, age of the oldest, dead letters, and whether it takes records."""
    values = _values(spool_figures(_stat(state=state), 9_000_000_000))
    assert values == {
        "outrider.spool.used": 400,
        "outrider.spool.quota": 1000,
        "outrider.spool.file_size": 500,
        "outrider.spool.wal_size": 60,
        "outrider.spool.rows": 3,
        "outrider.spool.dead_letters": 2,
        "outrider.spool.oldest_row_age": 4,
        "outrider.spool.writable": writable,
    }


def test_an_empty_spool_has_no_age():
    """Nothing waits: the age is 0, also after the clock was set back."""
    assert _values(spool_figures(_stat(oldest_ns=None), 9))["outrider.spool.oldest_row_age"] == 0
    assert _values(spool_figures(_stat(oldest_ns=99), 9))["outrider.spool.oldest_row_age"] == 0
