"""The kill switch and its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from strategy_agent.killswitch import KillSwitch, Trip


def test_a_tripped_switch_survives_a_restart(tmp_path: Path) -> None:
    """Who and why are known to the next process."""
    path = tmp_path / "state.json"
    KillSwitch(path).pull("risk", "drawdown")
    trip = KillSwitch(path).trip
    assert trip is not None
    assert (trip.by, trip.reason) == ("risk", "drawdown")


def test_without_a_file_it_lasts_as_long_as_the_process() -> None:
    """It is tripped, looked at again, and still tripped."""
    switch = KillSwitch()
    switch.pull("risk", "drawdown")
    assert not switch.refresh()
    assert switch.trip is not None


def test_a_trip_that_could_not_be_kept_is_not_taken_back_by_the_missing_file(tmp_path: Path) -> None:
    """It lasts as long as the process, with who and why, also where the file was begun and not finished."""
    path = tmp_path / "missing" / "state.json"
    switch = KillSwitch(path)
    assert not switch.pull("risk", "drawdown")
    assert not switch.refresh()
    path.parent.mkdir()
    path.touch()
    assert not switch.refresh()
    assert switch.trip is not None
    assert (switch.trip.by, switch.trip.reason) == ("risk", "drawdown")


def test_a_person_uses_it_while_the_agent_runs(tmp_path: Path) -> None:
    """A file that is written or removed is seen at the next look, once."""
    path = tmp_path / "stop"
    switch = KillSwitch(path)
    path.write_text('{"by": "ann", "reason": "maintenance"}', encoding="utf-8")
    assert (switch.refresh(), switch.refresh()) == (True, False)
    assert switch.trip == Trip("ann", "maintenance")
    path.unlink()
    assert switch.refresh()
    assert switch.trip is None


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"by": 5}'])
def test_a_file_that_cannot_be_read_trips(tmp_path: Path, content: str) -> None:
    """In doubt nothing is traded."""
    path = tmp_path / "stop"
    path.write_text(content, encoding="utf-8")
    assert KillSwitch(path).trip == Trip("file", "unreadable")
