"""`outrider check --send`: one test record of every kind, and an honest answer to each."""

from __future__ import annotations

import gzip
import os
from types import SimpleNamespace

import pytest

from agent.component import Accepted
from agent.config import read
from agent.errors import RetryableError
from agent.host.checking import ask, check_settings, unusable
from agent.issues.envelope import format as envelope_format
from agent.record import Signal
from agent.testing.otlp_server import decode


class Destination:
    """Takes these signals; raises or answers as given."""

    def __init__(self, *signals, answer=Accepted()):  # noqa: B008 - frozen
        self.signals = frozenset(signals)
        self.rows = []
        self._answer = answer

    async def export(self, row):
        self.rows.append(row)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.fixture
def settings(tmp_path):
    """Settings of an empty configuration."""
    return read(None, {"OUTRIDER_STATE_DIR": str(tmp_path), "OTEL_SERVICE_NAME": "demo"})[0]


async def test_every_kind_that_a_destination_takes_is_tried(settings):
    """Logs and metrics may go to different addresses, so that each is asked by itself."""
    destination = Destination(Signal.LOGS, Signal.METRICS)

    found = await ask("both", destination, settings)

    assert [(one.name, one.well) for one in found] == [("destination both (logs)", True), ("destination both (metrics)", True)]
    bodies = [gzip.decompress(row.body) for row in destination.rows]
    assert decode("/v1/logs", bodies[0]).resource_logs[0].scope_logs[0].log_records[0].body.string_value == "outrider check: a test record"
    names = [metric.name for scope in decode("/v1/metrics", bodies[1]).resource_metrics[0].scope_metrics for metric in scope.metrics]
    assert "outrider.check" in names


def test_a_glob_that_no_file_matches_is_told(tmp_path):
    """It is allowed, for files may come later, but mostly a mistake: the check says so and does not fail."""
    (tmp_path / "a.log").touch()
    globs = f"{tmp_path}/*.log,{tmp_path}/**/*.txt,{tmp_path}/no/such/*.log"
    found = check_settings(read(None, {"OUTRIDER_STATE_DIR": str(tmp_path / "s"), "OUTRIDER_LOG_FILES": globs})[0], send=False)
    told = (
        f"built; warning: no file matches {tmp_path}/**/*.txt now: check its spelling, if the file should be there; "
        f"warning: no file matches {tmp_path}/no/such/*.log now: there is no directory {tmp_path}/no/such"
    )
    assert [(one.outcome, one.well) for one in found] == [(told, True)]


def test_a_state_directory_that_can_be_made(tmp_path):
    """One that does not exist yet is made at the start, and needs no line."""
    assert list(unusable(tmp_path / "a" / "b")) == []


def test_a_state_directory_below_a_file(tmp_path):
    """Where a file stands in the way, the check fails and names it."""
    (tmp_path / "file").touch()
    (found,) = unusable(tmp_path / "file" / "state")
    assert not found.well
    assert found.outcome.startswith(f"{tmp_path}/file is not a directory: move it away; or name another one with state_dir")


def test_a_read_only_file_system(tmp_path, monkeypatch):
    """On a volume that is mounted read-only, the check fails and says so."""
    monkeypatch.setattr("os.statvfs", lambda _path: SimpleNamespace(f_flag=os.ST_RDONLY))
    (found,) = unusable(tmp_path)
    assert not found.well
    assert "mounted read-only" in found.outcome


def test_another_users_state_directory(tmp_path, monkeypatch):
    """Where we may not write, the check fails and names user and directory."""
    monkeypatch.setattr("os.access", lambda _path, _mode, **_options: False)
    (found,) = unusable(tmp_path / "new")
    assert not found.well
    assert found.outcome.startswith(f"user {os.geteuid()} may not write in {tmp_path}: ")


async def test_sentry_is_sent_an_event(settings):
    """A destination of errors gets one, of level info."""
    destination = Destination(Signal.SENTRY_ERROR)

    [found] = await ask("sentry", destination, settings)

    envelope = envelope_format.decode(gzip.decompress(destination.rows[0].body))
    event = envelope.items[0].json()
    assert found.well
    assert (event["message"], event["level"], envelope.service) == ("outrider check: a test record", "info", "demo")
    assert envelope.headers["event_id"] == event["event_id"]


@pytest.mark.parametrize("answer", [RetryableError("away"), Accepted(1, "too old")])
async def test_a_destination_that_does_not_take_it_has_failed(settings, answer):
    """An error and a partial success that refuses the record are both reported."""
    [found] = await ask("bad", Destination(Signal.LOGS, answer=answer), settings)

    assert not found.well
    assert found.outcome in ("away", "refused: too old")


async def test_a_destination_that_nothing_can_be_sent_to_is_not_called_well(settings):
    """Nothing was sent, so nothing is known."""
    destination = Destination(Signal.TRACES)

    [found] = await ask("traces", destination, settings)

    assert (found.well, destination.rows) == (False, [])
