"""A detector over a spool in memory."""

from __future__ import annotations

import pytest

from agent.host.detecting import LaterMaker
from agent.issues.detector import Detector, Setup
from agent.issues.event.frames import Scene
from agent.issues.folding.windows import Limits
from agent.issues.payloads import EventPayloads
from agent.issues.reading.errors import Rules
from agent.issues.recent.attachments import BlackBox
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
    """Makes detectors over the same spool; options are those of the setup."""
    made = []

    def detector(clock=None, figures=dict, maker=None, **options):
        context = make_context("errors", clock=clock or FakeClock())
        reporting = options.pop("reporting", Reporting("strategy", LABELS))
        setup = Setup(options.pop("rules", Rules()), options.pop("limits", Limits()), SUBJECT, reporting, **options)
        box, clock = BlackBox(), context.clock
        payloads = EventPayloads(
            SUBJECT.service, reporting.labels, Scene(), maker=maker or LaterMaker(), box=box, clock=clock, figures=figures
        )
        one = Detector(setup, payloads, box=box, spool=spool, clock=clock, metrics=context.metrics, telemetry=context.telemetry)
        made.append(one)
        return one

    yield detector
    for one in made:
        one.close()
