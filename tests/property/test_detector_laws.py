"""Laws of the detector: only what is stored counts, however often it was judged before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.issues.issues import assemble
from agent.issues.options import IssueOptions
from agent.issues.runs.run import Reporting
from agent.issues.windows import FoldingLimits
from agent.names import CHILD, TARGET
from agent.record import LogRecord, Severity
from agent.target.process_records import Observed, ended_record, started_record
from agent.testing.clock import FakeClock
from agent.testing.context import make_context
from tests.support.detecting import LABELS, TRACEBACK, Spool, exited, feed, plain
from tests.support.sentry import NOW_NS, SUBJECT, records_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.issues.issues import Issues
    from agent.record import Value

pytestmark = pytest.mark.property

STDERR = "child:7:1:stderr"
DEATH = b'Fatal Python error: Aborted\n\nCurrent thread 0x00007f (most recent call first):\n  File "/app/a.py", line 3 in f\n'
TIMEOUT = b'Timeout (0:00:01)!\nThread 0x00007f (most recent call first):\n  File "/app/a.py", line 3 in f\n'
PROCESS = Observed("boot", 7, 4711, NOW_NS - 10**9, "app")
TEXTS = [TRACEBACK, DEATH, TIMEOUT]
APP = [*(records_of(text, "file:a") for text in TEXTS), [plain("well")], [plain("elsewhere", key="file:b")],
       *([plain(f"{what} broke", Severity.ERROR)] for what in ("order", "router", "feed", "clock"))]  # fmt: skip
SAID = [*(records_of(text, STDERR) for text in TEXTS), [plain("up", key="child:7:1:stdout")], [exited()],
        [exited(**{"process.exit.code": 1})], [exited(**{"process.exit.signal": "SIGABRT"})]]  # fmt: skip
WATCHED = [[started_record(PROCESS, NOW_NS)], *([ended_record(PROCESS, status, 0, NOW_NS, emptied=True)] for status in (0, 1 << 8, 6))]


def batches(source: str, of: Sequence[list[LogRecord]]) -> st.SearchStrategy[tuple[str, list[LogRecord]]]:
    """Batches of a source, of some of these records."""
    return st.lists(st.sampled_from(of), min_size=1, max_size=5).map(lambda parts: (source, [one for part in parts for one in part]))


STEPS = st.lists(
    st.tuples(
        batches("app", APP) | batches("other", APP) | batches(CHILD, SAID) | batches(TARGET, WATCHED),
        st.integers(0, 3),
        st.sampled_from([0.0, 1.0, 70.0]),
    ),
    max_size=12,
)
Steps = list[tuple[tuple[str, list[LogRecord]], int, float]]


class Completer:
    """Completes nothing."""

    async def complete(self, event: Mapping[str, Value]) -> bytes:
        """The event as it is."""
        return orjson.dumps(event)

    def close(self) -> None:
        """Nothing is held."""


def issues_over(spool: Spool, clock: FakeClock, found: dict[str, float]) -> Issues:
    """The parts, with narrow limits."""
    context = make_context("errors", clock=clock)
    context.metrics.add = lambda metric, amount, labels=None: found.update(  # type: ignore[method-assign]
        {f"{metric.name} {labels}": found.get(f"{metric.name} {labels}", 0) + amount}
    )
    reporting = Reporting("strategy", LABELS, sessions=True, check_ins=True)
    options = IssueOptions(SUBJECT, reporting, limits=FoldingLimits(60 * 10**9, 1, 3, 4), breadcrumbs=3, logs_from=Severity.ERROR)
    figures = lambda: {"memory": 7.0}  # noqa: E731 - one figure
    return assemble(options, Completer(), figures, spool=spool, clock=clock, metrics=context.metrics, telemetry=context.telemetry)


async def told(steps: Steps, *, repeated: bool) -> tuple[object, ...]:
    """Everything that is stored and counted in the end, with batches judged in vain in between or without."""
    spool, clock, found = Spool(), FakeClock(), dict[str, float]()
    issues = issues_over(spool, clock, found)
    issues.runs.child_started("child:7:1", NOW_NS - 10**9)
    for (source, records), times, pause in steps:
        moved = [one._replace(observed_ns=clock.wall_ns()) for one in records]
        for _ in range(times if repeated else 0):
            await feed(issues, spool, moved, source, store=False)
        await feed(issues, spool, moved, source)
        await clock.advance(pause)
        if pause:
            await issues.tick()
    await issues.finish()
    return [row.body for row in spool.rows], spool.stored, found


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_what_was_not_stored_leaves_no_trace(steps: Steps) -> None:
    """Batches that are judged several times before they are stored lead to the same events, breadcrumbs, boxes, sessions and counts."""
    assert asyncio.run(told(steps, repeated=True)) == asyncio.run(told(steps, repeated=False))


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_a_batch_that_is_lost_was_never_there(steps: Steps) -> None:
    """Batches that are judged and given up do not change the issues of the others."""

    async def told_of(*, given_up: bool) -> tuple[object, ...]:
        spool, clock, found = Spool(), FakeClock(), dict[str, float]()
        issues = issues_over(spool, clock, found)
        for (source, records), times, _ in steps:
            if times or given_up:
                await feed(issues, spool, records, source, store=times > 0)
        await issues.finish()
        return sorted(row.body for row in spool.rows), spool.stored, found  # windows end in the order in which sources were first seen

    assert asyncio.run(told_of(given_up=True)) == asyncio.run(told_of(given_up=False))
