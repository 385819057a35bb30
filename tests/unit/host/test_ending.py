"""How long sources go on when the agent is asked to end, and what is counted then. On a clock of the test's own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from agent.component import Unread
from agent.host.ending import QUIET, AgentReadsOn, Ending, SourceUnread
from agent.testing.clock import FakeClock

GRACE = 8.0
NOTHING = Unread()


class File:
    """A source that can look once more."""

    def __init__(self, finish=None, left=NOTHING):
        self._finish, self._left = finish, left
        self.finished = self.writer_ended = False

    async def finish(self, emit, *, writer_ended=False):
        """Read the rest, or do what the test wants."""
        self.writer_ended = writer_ended
        if self._finish is not None:
            await self._finish(emit)
        self.finished = True

    async def unread(self):
        """As the test says."""
        return self._left


class Scene:
    """One source, perhaps a target, and an end that was just asked for."""

    def __init__(self, source=None, target=(), *, ended=False):
        self.clock, self.events, self.published = FakeClock(), [], []
        self.target = list(target)
        self.intake = SimpleNamespace(commits=0, emit=self.emit)
        self.hurry = asyncio.Event()
        sources = [SimpleNamespace(name="app", source=source or File(), intake=self.intake)]
        pipeline = SimpleNamespace(sources=sources, observer=SimpleNamespace(processes=lambda: self.target, all_ended=ended))
        host = SimpleNamespace(
            clock=self.clock,
            telemetry=SimpleNamespace(emit=self.events.append),
            metrics=SimpleNamespace(publish=lambda _name, series: self.published.extend(series)),
        )
        self.ending = Ending(pipeline, host, GRACE, self.hurry)

    async def emit(self, _batch):
        """Store a batch."""
        self.intake.commits += 1

    async def lasts(self, *, at_each=lambda _now: None):
        """Seconds until the sources may be cancelled."""
        task = asyncio.ensure_future(self.ending.linger())
        while not task.done():
            await settle()
            if not task.done():
                at_each(self.clock.monotonic())
                await self.clock.advance(0.05)
        await task
        return self.clock.monotonic()


async def settle():
    """Let every task come to its next wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_sources_that_bring_nothing_are_given_up_after_a_moment():
    """A stop with nothing to read is over soon, and what was waited for counts as time of the senders."""
    scene = Scene()

    assert await scene.lasts() == pytest.approx(QUIET, abs=0.06)
    assert scene.ending.spare == pytest.approx(QUIET, abs=0.06)
    assert scene.events == []


async def test_sources_go_on_while_something_is_stored():
    """A backlog is read to its end; then the stop ends."""
    scene = Scene()

    def grow(now):
        scene.intake.commits += now < 3.0

    assert await scene.lasts(at_each=grow) == pytest.approx(3.0 + QUIET, abs=0.12)


async def test_sources_go_on_while_the_target_lives():
    """Lines that it writes at its end are read; the stop reports once what it waits for."""
    scene = Scene(target=["process"])

    def end(now):
        scene.target[:] = ["process"] if now < 2.0 else []

    assert await scene.lasts(at_each=end) == pytest.approx(2.0, abs=0.06)
    assert [type(one) for one in scene.events] == [AgentReadsOn]


async def test_the_grace_is_an_end():
    """A target that lives on does not keep the agent."""
    assert await Scene(target=["process"]).lasts() == pytest.approx(GRACE, abs=0.06)


async def test_a_second_signal_is_an_end_at_once():
    """Neither is waited any more, nor is anything read."""
    source = File()
    scene = Scene(source, target=["process"])

    assert await scene.lasts(at_each=lambda now: scene.hurry.set() if now >= 1.0 else None) == pytest.approx(1.0, abs=0.06)
    await scene.ending.finish()
    assert not source.finished


async def test_what_is_there_at_the_end_is_read():
    """A source that can look once more does so."""
    source = File()
    await Scene(source).ending.finish()

    assert source.finished


@pytest.mark.parametrize("ended", [False, True])
async def test_a_source_hears_whether_what_writes_has_ended(ended):
    """Then a last line without an end is whole."""
    source = File()
    scene = Scene(source, ended=ended)
    await scene.lasts()
    await scene.ending.finish()

    assert source.writer_ended == ended


async def test_a_last_reading_that_stores_nothing_is_cut_off():
    """The spool is full: nothing comes of waiting for the whole grace."""
    source = File(lambda _emit: asyncio.Event().wait())
    scene = Scene(source)
    task = asyncio.ensure_future(scene.ending.finish())
    await settle()
    await scene.clock.advance(GRACE / 4)
    await asyncio.wait_for(task, 5)

    assert not source.finished
    assert scene.clock.monotonic() < GRACE


async def test_a_last_reading_that_fails_does_not_stop_the_end():
    """It is reported, and the rest of the end follows."""

    async def fail(_emit):
        raise OSError("input/output error")

    scene = Scene(File(fail))
    await scene.ending.finish()

    assert "input/output error" in str(scene.events)


async def test_what_stays_unread_is_counted_and_said():
    """Bytes and files, as an event and as figures."""
    scene = Scene(File(left=Unread(4096, 2)))

    await scene.ending.count()
    assert await scene.ending.report() == Unread(4096, 2)
    assert scene.events == [SourceUnread("app", 4096, 2)]
    assert [one.value for one in scene.published] == [4096, 2] * 2


async def test_what_is_written_while_the_senders_have_their_time_is_counted_as_well():
    """The report is made at the very end; a second signal has no time for it, and reports what was known."""
    for hurried, wanted in ((False, Unread(100, 1)), (True, Unread(40, 1))):
        scene = Scene(source := File(left=Unread(40, 1)))
        await scene.ending.count()
        source._left = Unread(100, 1)
        if hurried:
            scene.hurry.set()

        assert await scene.ending.report() == wanted
        assert scene.events == [SourceUnread("app", wanted.bytes, 1)]
