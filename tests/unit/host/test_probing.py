from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import structlog

from agent.clock import every, next_due
from agent.component import Context, ProbeResult
from agent.errors import SpoolError
from agent.host.probing import DRAINING, UNSENT, Damping, ProbePoller, State, worth_telling
from agent.host.sampling import SamplerPoller
from agent.metrics import Kind, Metric, Observation
from agent.record import Severity
from agent.testing.clock import START_NS, FakeClock, settle
from agent.testing.context import make_context

SIZE = Metric("size", Kind.GAUGE, "By", "A size.")


@pytest.fixture
def clock() -> FakeClock:
    """Time by hand."""
    return FakeClock()


@pytest.fixture
def host(clock):
    """The context of a component of the name `web`, on that clock."""
    with structlog.testing.capture_logs():
        yield make_context("web", clock=clock)


class Box:
    """Takes batches, or refuses them."""

    def __init__(self) -> None:
        self.batches = []
        self.full = False

    async def __call__(self, batch) -> None:
        if self.full:
            raise SpoolError("full")
        self.batches.append(batch)


class Script:
    """A probe that finds what the script holds, takes the time that it holds, or raises."""

    target = "http://app/"

    def __init__(self, *outcomes) -> None:
        self.outcomes = list(outcomes)
        self.closed = 0

    async def probe(self) -> ProbeResult:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is None:
            await asyncio.Event().wait()
        return outcome

    async def close(self) -> None:
        self.closed += 1


class Sampler:
    """A sampler that returns what the script holds, or raises."""

    def __init__(self, *outcomes) -> None:
        self.outcomes = list(outcomes)
        self.closed = 0

    def sample(self):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        self.closed += 1


GOOD = ProbeResult(success=True)
BAD = ProbeResult(success=False, reason="refused")


def _values(host: Context) -> dict:
    found = host.metrics.collect().resource_metrics[0].scope_metrics[0].metrics
    return {(metric.name, tuple(sorted(point.attributes.items()))): point.value for metric in found for point in metric.data.data_points}


def _poller(host, probe, emit=None, **options) -> ProbePoller:
    return ProbePoller(probe, replace(host, emit=emit or Box()), interval=15, timeout=options.pop("timeout", 5), **options)


@pytest.mark.parametrize(
    ("due", "now", "wanted"),
    [(100, 100, 115), (100, 101, 115), (100, 114.9, 115), (100, 115, 130), (100, 161, 175), (100, 99, 115)],
)
def test_the_beat_does_not_drift(due, now, wanted):
    """However late an action ends, the next one is due at a multiple of the interval; missed beats are left out."""
    assert next_due(due, now, 15) == wanted


async def test_every_acts_at_once_and_then_on_the_beat(clock):
    """The first action is not waited for, the others come at their time."""
    times = []

    async def act() -> None:
        times.append(clock.monotonic())

    task = asyncio.create_task(every(clock, 10, act))
    await clock.advance(35)
    task.cancel()
    assert times == [0, 10, 20, 30]


@pytest.mark.parametrize(
    ("state", "looks", "wanted"),
    [
        (State.UNKNOWN, [True], State.UP),
        (State.UNKNOWN, [False], State.UNKNOWN),
        (State.UNKNOWN, [False, False], State.DOWN),
        (State.UP, [True, True, False], State.UP),
        (State.UP, [False, True, False], State.DOWN),
        (State.UP, [False, False, True], State.UP),
        (State.UP, [True, False, False], State.DOWN),
        (State.DOWN, [False, False, True], State.DOWN),
        (State.DOWN, [True, False, True], State.UP),
        (State.DOWN, [True, True, False], State.DOWN),
        (State.UP, [], State.UP),
    ],
)
def test_two_of_three_looks_change_the_state(state, looks, wanted):
    """A state changes when two of the last three looks contradict it, the last one being one of them."""
    assert Damping(2, 3).next(state, looks) is wanted


@pytest.mark.parametrize("rule", [Damping(1, 1), Damping(3, 5)])
def test_a_steady_target_reaches_its_state(rule):
    """Whatever the rule, a target that stays as it is ends in that state, and stays there."""
    for outcome, wanted in ((True, State.UP), (False, State.DOWN)):
        state, looks = State.UNKNOWN, []
        for _ in range(rule.window):
            looks.append(outcome)
            state = rule.next(state, looks)
        assert state is wanted


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (State.UNKNOWN, State.UP, False),
        (State.UNKNOWN, State.DOWN, True),
        (State.UP, State.DOWN, True),
        (State.DOWN, State.UP, True),
        (State.UP, State.UP, False),
    ],
)
def test_only_news_is_told(before, after, wanted):
    """A target that is up when first seen needs no record; every other change has one."""
    assert worth_telling(before, after) is wanted


async def test_a_look_is_measured_and_labelled(host, clock):
    """Each check publishes success and duration as raw as they are, and the probe's own figures, all under probe and target."""

    class Slow(Script):
        async def probe(self) -> ProbeResult:
            await clock.advance(0.25)
            return ProbeResult(success=True, observations=[Observation(SIZE, 7, {"phase": "x"})])

    await _poller(host, Slow()).look()
    values = _values(host)
    labels = (("probe", "web"), ("target", "http://app/"))
    assert values[("probe_success", labels)] == 1
    assert values[("probe_duration_seconds", labels)] == 0.25
    assert values[("probe_timeout_seconds", labels)] == 5
    assert values[("outrider.probe.up", labels)] == 1
    assert values[("size", (("phase", "x"), *labels))] == 7


async def test_down_and_up_are_two_records(host):
    """A target that goes and comes back makes one error record and one info record, and nothing for the flap in between."""
    box = Box()
    poller = _poller(host, Script(GOOD, BAD, BAD, BAD, GOOD, BAD, GOOD, GOOD), box)
    for _ in range(8):
        await poller.look()
    records = [record for batch in box.batches for record in batch.records]
    assert [(record.severity, record.attributes["probe.state"]) for record in records] == [(Severity.ERROR, "down"), (Severity.INFO, "up")]
    assert records[0].body == "probe web: http://app/ is down: refused"
    assert records[0].origin.key == "probe:web"


async def test_the_raw_outcome_is_not_damped(host):
    """`probe_success` is the last check, as with blackbox_exporter; the damped state is a figure of its own."""
    poller = _poller(host, Script(GOOD, BAD))
    await poller.look()
    await poller.look()
    values = {name: value for (name, _), value in _values(host).items()}
    assert (values["probe_success"], values["outrider.probe.up"]) == (0, 1)


async def test_a_hanging_probe_fails_in_time(host):
    """The host bounds a check; the reason says so."""
    poller = _poller(host, Script(None), timeout=0.01)
    await poller.look()
    assert (poller.last.success, poller.last.reason) == (False, "no answer within 0.01 s")


async def test_a_broken_probe_is_a_failed_look(host):
    """An exception of the probe's is a failed look and an event, never the end of the poller."""
    poller = _poller(host, Script(KeyError("x"), GOOD))
    await poller.look()
    assert not poller.last.success
    await poller.look()
    assert poller.last.success
    assert _values(host)[("outrider.component.failures", (("component", "web"),))] == 1


async def test_changes_wait_for_the_spool(host):
    """A change that could not be stored is stored with the next check, with its own time."""
    box = Box()
    box.full = True
    poller = _poller(host, Script(BAD, BAD, BAD), box)
    await poller.look()
    await poller.look()
    box.full = False
    await poller.look()
    [batch] = box.batches
    assert [record.attributes["probe.state"] for record in batch.records] == ["down"]
    assert batch.records[0].time_ns == START_NS


async def test_changes_that_are_too_many_are_counted(host):
    """While the spool takes nothing, the newest changes are kept; the others are counted with the next batch that is stored, once."""
    box = Box()
    box.full = True
    poller = _poller(host, Script(GOOD, *[BAD, GOOD] * (UNSENT + 10)), box, damping=Damping(1, 1))
    for _ in range(UNSENT + 4):
        await poller.look()
    box.full = False
    await poller.look()
    await poller.look()
    assert [(len(batch.records), batch.drops) for batch in box.batches] == [(UNSENT, {"buffer_full": 4}), (1, {})]
    states = [record.attributes["probe.state"] for batch in box.batches for record in batch.records]
    assert states == ["down", "up"] * (UNSENT // 2) + ["down"]


async def test_two_reports_at_once_store_a_change_once(host):
    """At the end of the agent all changes are stored while checks still run: none twice, and none is taken for stored that was not."""
    storing, batches = asyncio.Event(), []

    async def emit(batch) -> None:
        await storing.wait()
        batches.append(batch)

    poller = _poller(host, Script(BAD, BAD, GOOD), emit, damping=Damping(1, 1))
    poller.planned = lambda _since: False
    first = asyncio.create_task(poller.look())
    await settle()
    others = [asyncio.create_task(poller.report(last=True)), asyncio.create_task(poller.look()), asyncio.create_task(poller.look())]
    await settle()
    storing.set()
    await asyncio.gather(first, *others)
    assert [record.attributes["probe.state"] for batch in batches for record in batch.records] == ["down", "up"]


async def test_a_cancelled_poller_leaves_nothing(host, clock):
    """At the end its series are gone and its component is closed."""
    probe, sampler = Script(*[GOOD] * 9), Sampler(*[[Observation(SIZE, 1)]] * 9)
    tasks = [asyncio.create_task(_poller(host, probe).run()), asyncio.create_task(SamplerPoller(sampler, host, 5).run())]
    await clock.advance(20)
    assert _values(host)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert _values(host) == {}
    assert (probe.closed, sampler.closed, clock.sleeping) == (1, 1, 0)


async def _run(poller: ProbePoller, clock: FakeClock, seconds: float, step: float = 0.5) -> None:
    """Let a probe run for a while."""
    task = asyncio.create_task(poller.run())
    await clock.advance(0)
    for _ in range(int(seconds / step)):
        await clock.advance(step)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_target_that_starts_with_us_is_up_soon(host, clock):
    """A first failure is followed by looks that come soon, so that a target which listens a moment later is up then and not an interval later."""
    emitted = Box()
    probe = Script(BAD, BAD, BAD, *[GOOD] * 5)
    poller = _poller(host, probe, emitted)
    await _run(poller, clock, 4)
    assert (poller.state, len(probe.outcomes)) == (State.UP, 4)
    assert emitted.batches == []


async def test_a_target_that_is_away_is_down_no_sooner(host, clock):
    """Checks that come soon are not counted: a target that stays away is down with the second check of the beat."""
    emitted = Box()
    poller = _poller(host, Script(*[BAD] * 100), emitted)
    await _run(poller, clock, 14.5)
    assert (poller.state, emitted.batches) == (State.UNKNOWN, [])
    assert poller.last is not None
    assert poller.last.reason == "refused"
    poller = _poller(host, Script(*[BAD] * 100), emitted)
    await _run(poller, clock, 15.5)
    assert poller.state is State.DOWN
    assert len(emitted.batches) == 1


async def test_the_first_success_keeps_the_beat(host, clock):
    """However the first check went, the second of the beat comes an interval after it."""
    for first in ([GOOD], [BAD, GOOD]):
        probe = Script(*first, *[GOOD] * 10)
        await _run(_poller(host, probe), clock, 14.5)
        assert len(probe.outcomes) == 10
        probe = Script(*first, *[GOOD] * 10)
        await _run(_poller(host, probe), clock, 15.5)
        assert len(probe.outcomes) == 9


@pytest.mark.parametrize(("planned", "severity"), [(True, Severity.INFO), (False, Severity.ERROR)])
async def test_a_planned_end_is_no_error(host, planned, severity):
    """When the workload was asked to end, or has ended in order, that its probe is down is reported, and not an error."""
    emitted = Box()
    poller = _poller(host, Script(GOOD, BAD, BAD), emitted)
    poller.planned = lambda _since: planned
    for _ in range(3):
        await poller.look()
    (batch,) = emitted.batches
    assert poller.state is State.DOWN
    assert batch.records[0].severity is severity
    assert batch.records[0].attributes.get("probe.planned", False) is planned


async def _down_while_alive(host, emitted) -> tuple[ProbePoller, list[bool | None]]:
    """A poller whose target lives and has closed its port; the list holds how the target ends (None: it lives)."""
    poller, ends = _poller(host, Script(GOOD, *[BAD] * 9), emitted), [None]
    poller.planned = lambda _since: ends[0]
    for _ in range(3):
        await poller.look()
    assert (poller.state, emitted.batches) == (State.DOWN, [])
    return poller, ends


@pytest.mark.parametrize(("in_order", "severity"), [(True, Severity.INFO), (False, Severity.ERROR)])
async def test_a_target_that_closes_its_port_may_be_about_to_end(host, in_order, severity):
    """While the target lives, its `down` waits for its end, which decides whether it is an error."""
    emitted = Box()
    poller, ends = await _down_while_alive(host, emitted)
    ends[0] = in_order
    await poller.look()
    (batch,) = emitted.batches
    assert [record.severity for record in batch.records] == [severity]


async def test_a_target_that_is_down_and_lives_on_is_an_error(host, clock):
    """The wait for its end is bounded."""
    emitted = Box()
    poller, _ = await _down_while_alive(host, emitted)
    await clock.advance(DRAINING - 0.1)
    await poller.look()
    assert emitted.batches == []
    await clock.advance(0.1)
    await poller.look()
    assert [record.severity for record in emitted.batches[0].records] == [Severity.ERROR]


async def test_at_the_end_of_the_agent_every_change_is_stored(host):
    """A target that has not ended by then is an error."""
    emitted = Box()
    poller, _ = await _down_while_alive(host, emitted)
    await poller.report(last=True)
    assert [record.severity for record in emitted.batches[0].records] == [Severity.ERROR]


async def test_at_the_end_of_the_agent_no_change_waits(host):
    """A change that is found after the last report is stored at once: no later report would store it."""
    emitted = Box()
    poller = _poller(host, Script(GOOD, BAD, BAD), emitted)
    poller.planned = lambda _since: None
    await poller.look()
    await poller.report(last=True)
    for _ in range(2):
        await poller.look()
    assert [record.severity for batch in emitted.batches for record in batch.records] == [Severity.ERROR]


async def test_the_end_is_looked_for_since_the_last_answer(host, clock):
    """An end in order before the target last answered explains nothing."""
    asked = []
    poller = _poller(host, Script(GOOD, BAD, BAD))
    poller.planned = lambda since: asked.append(since) or False
    for _ in range(3):
        await clock.advance(1.0)
        await poller.look()
    assert asked == [clock.monotonic() - 2.0]


async def test_a_target_that_is_up_again_was_down(host):
    """When a target that lives answers again before its `down` is decided, both changes are stored, the first as an error."""
    emitted = Box()
    poller = _poller(host, Script(GOOD, BAD, BAD, GOOD, GOOD), emitted)
    poller.planned = lambda _since: None
    for _ in range(5):
        await poller.look()
    (batch,) = emitted.batches
    assert [(record.attributes["probe.state"], record.severity) for record in batch.records] == [
        ("down", Severity.ERROR),
        ("up", Severity.INFO),
    ]


async def test_a_sampler_that_raises_is_tried_again(host):
    """A failed sample takes its series away rather than repeat old values, says so, and the next one brings them back."""
    poller = SamplerPoller(Sampler([Observation(SIZE, 1)], OSError("gone"), [Observation(SIZE, 2)]), host, 5)
    seen = []
    for _ in range(3):
        await poller.sample()
        values = {name: value for (name, _), value in _values(host).items()}
        seen.append((values.get("size"), values["outrider.sampler.success"]))
    assert seen == [(1, 1), (None, 0), (2, 1)]
    assert [event.name for event in host.telemetry.recent] == ["component failed"]


class Asking:
    """A sampler that asks elsewhere: it answers when it is let."""

    def __init__(self) -> None:
        self.go, self.asked = asyncio.Event(), 0

    async def sample(self):
        self.asked += 1
        await self.go.wait()
        return [Observation(SIZE, self.asked)]

    async def close(self) -> None:
        """Nothing is held."""


async def test_a_sampler_may_be_a_coroutine(host):
    """Its figures are published, and it is not asked again while it still asks elsewhere."""
    sampler = Asking()
    poller = SamplerPoller(sampler, host, 5)
    tasks = [asyncio.create_task(poller.sample()) for _ in range(2)]
    await settle()
    assert sampler.asked == 1
    sampler.go.set()
    await asyncio.gather(*tasks)
    assert {name: value for (name, _), value in _values(host).items()}["size"] == 2


async def test_a_sampler_that_hangs_has_failed(host):
    """After an interval a coroutine is cancelled; that is a failed sample, and the event says how long it was waited for."""
    poller = SamplerPoller(Asking(), host, 0.01)
    await poller.sample()
    assert {name: value for (name, _), value in _values(host).items()}["outrider.sampler.success"] == 0
    [event] = host.telemetry.recent
    assert event.details["error"] == "TimeoutError: no answer within 0.01 s"


async def test_a_probe_whose_own_task_was_cancelled_has_failed(host):
    """A probe that awaits a cancelled task has not seen its target, and is asked again."""
    poller = _poller(host, Script(asyncio.CancelledError(), GOOD))
    await poller.look()
    assert poller.last.reason == "the probe itself failed: RuntimeError: it awaited a task that was cancelled"
    await poller.look()
    assert poller.last.success
