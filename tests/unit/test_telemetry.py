from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise

import pytest
import structlog

import agent
from agent.failures import ComponentFailed
from agent.fold import Fold
from agent.host.commits import RecordsDropped
from agent.host.delivery_state import ExportDelayed, ExportRecovered
from agent.host.events import AgentStarted, ConfigRefused, SpoolEvent
from agent.metrics import Metrics
from agent.record import Drop
from agent.telemetry import Event, Level, Telemetry, configure_logging
from agent.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Time by hand."""
    return FakeClock()


@pytest.fixture
def metrics(clock):
    """Metrics on that clock."""
    return Metrics({}, clock)


@pytest.fixture
def lines():
    """The lines of our own log."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(autouse=True)
def _structlog_defaults():
    yield
    structlog.reset_defaults()


MODULES = [
    importlib.import_module(found.name) for found in pkgutil.walk_packages(agent.__path__, "agent.") if not found.name.endswith("__main__")
]
EVENTS = sorted(
    {
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and value is not Event
    },
    key=lambda event: event.__name__,
)


def _example(event: type[Event]) -> Event:
    values = {"str": "x", "int": 2, "float": 1.5}
    return event(**{one.name: values[str(one.type)] for one in fields(event) if one.default is MISSING})


def _counts(metrics: Metrics) -> dict[str, dict]:
    found = metrics.collect().resource_metrics[0].scope_metrics[0].metrics
    return {metric.name: {tuple(point.attributes.items()): point.value for point in metric.data.data_points} for metric in found}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_is_a_line_and_a_count(event, metrics, clock, lines):
    """Each event type has a name of its own, labels that are its fields, and can be emitted."""
    assert is_dataclass(event)
    assert set(event.labels) <= {one.name for one in fields(event)}
    assert sum(other.name == event.name for other in EVENTS) == 1
    one = _example(event)
    Telemetry(metrics, clock).emit(one)
    assert lines[0]["event"] == event.name
    assert lines[0]["log_level"] == event.level.name.lower()
    assert {key: lines[0][key] for key in one.details()} == one.details()
    if event.counter is not None:
        [(attributes, value)] = _counts(metrics)[event.counter.name].items()
        assert (sorted(dict(attributes)), value) == (sorted(event.labels), one.amount())


async def test_repeats_are_folded_and_counted(metrics, clock, lines):
    """Within ten seconds one line is written; afterwards another says how often it was repeated. The counter counts all."""
    events = Telemetry(metrics, clock)
    for number in range(5):
        events.emit(ComponentFailed("app", f"error {number}", 1.0))
    assert len(lines) == 1
    await clock.advance(9.9)
    events.flush()
    assert len(lines) == 1
    await clock.advance(0.2)
    events.flush()
    assert [(line["error"], line.get("repeated")) for line in lines] == [("error 0", None), ("error 4", 4)]
    assert _counts(metrics)["outrider.component.failures"] == {(("component", "app"),): 5}


async def test_a_state_that_lasts_is_reported_ever_more_rarely(metrics, clock, lines):
    """A destination that is away for a day is a line at first, after ten seconds, a minute, six minutes, and then every hour; all of it is counted."""
    events = Telemetry(metrics, clock)
    for _ in range(24 * 60):
        events.emit(ExportDelayed("otlp", "logs", "http://h:4318/v1/logs: connection refused", 60.0))
        await clock.advance(60)
    events.flush(everything=True)
    assert len(lines) < 35
    assert sum(line.get("repeated", 1) for line in lines) == 24 * 60
    (notice,) = events.recent
    assert notice.count == 24 * 60


async def test_another_cause_or_the_end_begins_anew(metrics, clock, lines):
    """While a state is reported rarely, another cause is written at once; so is the same one after the state's end."""
    events = Telemetry(metrics, clock)
    for _ in range(30):
        events.emit(ExportDelayed("otlp", "logs", "refused", 1.0))
        await clock.advance(5)
    events.emit(ExportDelayed("otlp", "logs", "HTTP 503", 1.0))
    assert lines[-1]["reason"] == "HTTP 503"
    assert sum(line.get("repeated", 1) for line in lines if line["reason"] == "refused") == 30
    for _ in range(30):
        await clock.advance(5)
        events.emit(ExportDelayed("otlp", "logs", "HTTP 503", 1.0))
    events.emit(ExportRecovered("otlp", "logs"))
    events.emit(ExportDelayed("otlp", "logs", "HTTP 503", 1.0))
    assert [line["event"] for line in lines[-2:]] == ["export recovered", "export delayed"]
    assert "repeated" not in lines[-1]


def test_each_refused_configuration_is_told_at_once(metrics, clock, lines):
    """A second request for a reload is answered, and the fault is another one."""
    sink = Telemetry(metrics, clock)
    for error in ("first", "second"):
        sink.emit(ConfigRefused(error=error))
    assert [line["error"] for line in lines] == ["first", "second"]
    sink.flush(everything=True)
    assert len(lines) == 2


def test_different_labels_are_not_folded_together(metrics, clock, lines):
    """One failing component does not hide another."""
    events = Telemetry(metrics, clock)
    events.emit(ComponentFailed("a", "x", 1.0))
    events.emit(ComponentFailed("b", "x", 1.0))
    assert [line["component"] for line in lines] == ["a", "b"]


def test_nothing_folded_is_lost_at_the_end(metrics, clock, lines):
    """The last flush tells what is still folded."""
    events = Telemetry(metrics, clock)
    for _ in range(3):
        events.emit(AgentStarted("1", "/x", "y"))
    events.flush(everything=True)
    assert [line.get("repeated") for line in lines] == [None, 2]


def test_count_is_the_amount(metrics, clock, lines):
    """An event about many records counts many."""
    Telemetry(metrics, clock).emit(SpoolEvent("evicted", count=7))
    assert _counts(metrics)["outrider.spool.events"] == {(("what", "evicted"),): 7}
    assert RecordsDropped("a", Drop.OVERSIZED, 3).amount() == 3


def test_recent_keeps_warnings_only_and_few(metrics, clock, lines):
    """The status page gets the last twenty warnings and errors, not the chatter."""
    events = Telemetry(metrics, clock)
    events.emit(AgentStarted("1", "/x", "y"))
    for number in range(30):
        events.emit(ComponentFailed(str(number), "x", 1.0))
    assert [recent.details["component"] for recent in events.recent] == [str(number) for number in reversed(range(10, 30))]
    assert {recent.level for recent in events.recent} == {Level.ERROR}


def test_fold_is_bounded():
    """More kinds of lines than a configuration can have are written, not remembered."""
    fold: Fold[str] = Fold()
    assert all(fold.admit((number,), "line", 0.0) for number in range(5000))
    assert len(fold._open) == 1000


def test_own_log_speaks_json_and_is_marked(capsys, metrics, clock):
    """Collected as JSON, every line can be parsed and says that it is the agent's, whatever a field holds."""
    configure_logging(as_json=True)
    Telemetry(metrics, clock).emit(ComponentFailed("app", "line\nbreak \x1b[31m", 1.0))
    [line] = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["agent"], found["event"], found["level"], found["error"]) == (
        "outrider",
        "component failed",
        "error",
        "line\nbreak \x1b[31m",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", found["timestamp"])


def test_own_log_for_people_does_not_steer_the_terminal(capsys, metrics, clock):
    """On a terminal, control characters from data are shown, not executed."""
    configure_logging(as_json=False)
    Telemetry(metrics, clock).emit(ComponentFailed("app", "bad\x1b[31m\r\nlines", 1.0))
    text = capsys.readouterr().err
    assert "\x1b" not in text
    assert len(text.splitlines()) == 1


def test_level_is_a_threshold(capsys, metrics, clock):
    """Lines below the level are not written; their events still count."""
    configure_logging(Level.ERROR, as_json=True)
    events = Telemetry(metrics, clock)
    events.emit(SpoolEvent("full"))
    assert capsys.readouterr().err == ""
    assert "outrider.spool.events" in _counts(metrics)


def test_a_closed_standard_error_stops_nothing():
    """The reader of our log may go away; the agent continues."""
    code = "import os; from agent.own_log import _Stderr; os.close(2); _Stderr().msg('x'); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "alive\n"


def test_reasons_are_distinct_label_values():
    """Drop reasons are lower-case words, because they are label values and rows of the ledger."""
    assert all(re.fullmatch(r"[a-z0-9_]+", reason) for reason in Drop)
    assert all(first != second for first, second in pairwise(sorted(Drop)))
