"""Everything about errors, over a spool in memory."""

from __future__ import annotations

import pytest

from agent.issues.event.completer import LazyCompleter
from agent.issues.issues import assemble
from agent.issues.options import IssueOptions
from agent.issues.runs.run import Reporting
from agent.testing.clock import FakeClock
from agent.testing.context import make_context
from tests.support.detecting import LABELS, Spool
from tests.support.sentry import SUBJECT


@pytest.fixture
def spool():
    """An empty spool."""
    return Spool()


@pytest.fixture
def make(spool):
    """Puts the parts together over the same spool, with these options."""
    made = []

    def issues(clock=None, figures=dict, completer=None, **options):
        context = make_context("errors", clock=clock or FakeClock())
        reporting = options.pop("reporting", Reporting("strategy", LABELS))
        one = assemble(
            IssueOptions(SUBJECT, reporting, **options),
            completer or LazyCompleter(),
            figures,
            spool=spool,
            clock=context.clock,
            metrics=context.metrics,
            telemetry=context.telemetry,
        )
        made.append(one)
        return one

    yield issues
    for one in made:
        one.close()
