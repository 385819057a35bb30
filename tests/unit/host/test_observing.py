"""The observer: its records of processes, what is stored with them, and what an agent that comes after a kill makes of that."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import SpoolFullError
from agent.host.observing import BEAT, LINGER, SOON, VACANT, Observer, boot_id
from agent.issues.reading.exits import read_exit_status
from agent.target.ending import read_stat
from agent.target.process_records import Observed, load
from agent.target.roots import Roots
from agent.testing.clock import FakeClock, settle
from agent.testing.context import make_context


class Sampler:
    """Knows the target."""

    proc_dir = Path("/proc")

    def __init__(self):
        self.mains = frozenset()

    def sample(self):
        return []

    async def close(self):
        pass


class Poller:
    """Asks it, as often as the test wants."""

    def __init__(self):
        self.sampler, self.samples, self.next = Sampler(), 0, None

    async def sample(self):
        self.samples += 1
        self.sampler.mains = self.next or self.sampler.mains


class Store:
    """The emitted records, and the positions that stay."""

    def __init__(self):
        self.records, self.positions, self.full = [], {}, False

    async def emit(self, batch):
        if self.full:
            raise SpoolFullError("full")
        self.records += batch.records
        for key, value in batch.positions.items():
            self.positions.pop(key, None)
            if value is not None:
                self.positions[key] = value

    async def read(self):
        return dict(self.positions)

    def names(self):
        return [record.attributes["event.name"].rpartition(".")[2] for record in self.records]


class Rig:
    """An observer at work."""

    def __init__(self):
        self.clock, self.store, self.poller, self.processes = FakeClock(), Store(), Poller(), []
        self.context = replace(make_context(clock=self.clock, positions=self.store.read), emit=self.store.emit)
        self.task, self.roots = None, Roots()

    def process(self, program=""):
        """A process that is another one's child: it ends with `end`."""
        command = f"import os, sys; print(os.getpid(), flush=True); sys.stdin.read()\n{program}"
        shell = subprocess.Popen(
            ["sh", "-c", 'python3 -c "$0"; true', command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.processes.append(shell)
        return int(shell.stdout.readline())

    def child(self):
        """A process that is our own child."""
        self.processes.append(subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return self.processes[-1].pid

    def end(self, index=-1):
        self.processes[index].stdin.close()
        self.processes[index].wait()

    async def start(self, *pids, settling=0.0):
        import asyncio

        self.poller.sampler.mains = frozenset(pids)
        self.observer = Observer([self.poller], self.context, self.roots, settling=settling)
        self.task = asyncio.create_task(self.observer.run())
        await settle()

    async def kill(self):
        """End it as a kill would: nothing is reported."""
        self.observer._watched.clear()
        await self.stop()

    async def stop(self):
        import asyncio

        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None


@pytest.fixture
async def rig():
    """A rig, cleared away."""
    made = Rig()
    yield made
    await made.stop()
    made.roots.close()
    for process in made.processes:
        process.stdin.close()
        process.wait()
        process.stdout.close()


async def test_a_life(rig):
    """A process is reported when it is first seen, with a position, and when it has ended, with its code; then the position is gone."""
    pid = rig.process("sys.exit(3)")
    await rig.start(pid)
    assert rig.store.names() == ["started"]
    (stored,) = rig.store.positions.values()
    process = load(stored)
    assert (process.pid, process.boot, process.start) == (pid, boot_id(), read_stat(pid).start)
    rig.end()
    await rig.clock.advance(BEAT + LINGER + SOON)
    assert rig.store.names() == ["started", "exited"]
    ending = read_exit_status(rig.store.records[1])
    assert (ending.code, ending.unknown, ending.program) in ((3, False, "python3"), (0, True, "python3"))
    assert rig.store.positions == {}


async def test_what_ends_wakes_us(rig):
    """An end is reported a moment after it happened, however far the next check is, with the time when it was seen."""
    await rig.start(rig.process())
    rig.end()
    await settle()
    ended_ns = rig.clock.wall_ns()
    await rig.clock.advance(SOON + LINGER)
    assert rig.store.names() == ["started", "exited"]
    assert rig.store.records[1].time_ns == ended_ns


async def test_an_end_waits_for_what_was_said_last(rig):
    """Where a log file gives out its last lines only after a silence, an end is reported after that, and not for ever later."""
    await rig.start(rig.process(), settling=3.0)
    rig.end()
    await settle()
    await rig.clock.advance(SOON + LINGER)
    assert rig.store.names() == ["started"]
    await rig.clock.advance(3.0)
    assert rig.store.names() == ["started", "exited"]


async def test_who_comes_after(rig):
    """After an end the target is looked for often for a while, so that a crash loop is not missed; then rarely again."""
    await rig.start(rig.process())
    rig.poller.next = frozenset([rig.process()])
    rig.end(0)
    await settle()
    await rig.clock.advance(SOON + LINGER + SOON)
    assert rig.store.names() == ["started", "started", "exited"]  # what comes after is seen while the end waits for its last words
    await rig.clock.advance(VACANT)
    samples = rig.poller.samples
    assert samples > 20
    await rig.clock.advance(VACANT)
    assert rig.poller.samples == samples


async def test_a_kill_of_the_agent(rig):
    """The next agent continues with a process that lives, does not report its start again, and reports its end under the same key."""
    await rig.start(rig.process())
    await rig.kill()
    await rig.start()
    await rig.clock.advance(BEAT)
    assert rig.store.names() == ["started"]
    rig.end()
    await rig.clock.advance(BEAT + LINGER + SOON)
    assert rig.store.names() == ["started", "exited"]
    assert len({record.origin.key for record in rig.store.records}) == 1


async def test_an_end_that_nobody_saw(rig):
    """A process that ended while no agent ran is reported once, with an unknown cause; so is one of an earlier boot."""
    await rig.start(rig.process())
    await rig.kill()
    rig.end()
    old = Observed("another boot", os.getpid(), read_stat(os.getpid()).start, 1, "app")
    rig.store.positions[old.key] = old.dump()
    await rig.start()
    await rig.clock.advance(LINGER + BEAT)
    assert rig.store.names() == ["started", "exited", "exited"]
    assert all(read_exit_status(record).unknown for record in rig.store.records[1:])
    assert rig.store.positions == {}


async def test_a_full_spool_keeps_the_end(rig):
    """An end that could not be stored is reported later, once."""
    await rig.start(rig.process())
    rig.store.full = True
    rig.end()
    await rig.clock.advance(BEAT + LINGER + SOON)
    rig.store.full = False
    await rig.clock.advance(BEAT + LINGER + SOON)
    assert rig.store.names() == ["started", "exited"]


async def test_ends_with_the_agent(rig):
    """A process that ends while the agent stops is reported before that; one that lives on is not."""
    await rig.start(rig.process(), rig.process())
    rig.end(0)
    await rig.stop()
    assert rig.store.names() == ["started", "started", "exited"]
    assert len(rig.store.positions) == 1


async def test_our_own_children_are_not_watched(rig):
    """The command of `exec` reports itself: its parent is us."""
    await rig.start(rig.child())
    assert rig.store.names() == []


async def test_an_orderly_end_is_no_fault(rig):
    """A process that a SIGTERM ends was asked to, as supervisors do."""
    pid = rig.process()
    await rig.start(pid)
    os.kill(pid, signal.SIGTERM)
    rig.processes[0].wait()
    await rig.clock.advance(BEAT + LINGER + SOON)
    ending = read_exit_status(rig.store.records[1])
    assert ending.good or ending.unknown
    assert not ending.bad


async def test_at_rest(rig):
    """After an end that was planned, and is known to be, the workload is at rest; while it lives, or after a failure, it is not."""
    pid = rig.process()
    await rig.start(pid)
    assert not rig.observer.at_rest
    os.kill(pid, signal.SIGTERM)
    rig.processes[0].wait()
    await settle()
    early = rig.observer.at_rest
    await rig.clock.advance(BEAT + LINGER + SOON)
    known = not read_exit_status(rig.store.records[1]).unknown
    assert (early, rig.observer.at_rest) == (known, known)
    rig.poller.next = frozenset([rig.process("sys.exit(3)")])
    await rig.clock.advance(BEAT)
    assert not rig.observer.at_rest
    rig.end(1)
    await rig.clock.advance(BEAT + LINGER + SOON)
    assert not rig.observer.at_rest


async def test_an_end_in_order_is_known_afterwards(rig):
    """While a process lives, it is open how it will end; an end in order counts from the last answer of its probe on, also when another process has followed."""
    began = rig.clock.monotonic()
    pid = rig.process()
    await rig.start(pid)
    assert rig.observer.ended_in_order(began) is None
    os.kill(pid, signal.SIGTERM)
    rig.processes[0].wait()
    await settle()
    known = rig.observer.at_rest
    await rig.clock.advance(BEAT + LINGER + SOON)
    rig.poller.next = frozenset([rig.process()])
    await rig.clock.advance(BEAT)
    assert rig.observer.ended_in_order(began) is (True if known else None)
    assert rig.observer.ended_in_order(rig.clock.monotonic() + 1) is None
