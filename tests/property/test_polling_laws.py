"""Laws of what is sampled and probed: sums that never fall, states that follow their target and do not flap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import next_due
from agent.host.probing import Damping, State
from agent.target.usage import Monotone

pytestmark = pytest.mark.property

SUMS = st.lists(st.floats(0, 1e9), min_size=1, max_size=50)
RULES = st.integers(1, 5).flatmap(lambda needed: st.builds(Damping, st.just(needed), st.integers(needed, 2 * needed)))


def _states(rule: Damping, looks: list[bool]) -> list[State]:
    states, state = [], State.UNKNOWN
    for number in range(1, len(looks) + 1):
        state = rule.next(state, looks[:number])
        states.append(state)
    return states


@given(SUMS)
def test_a_sum_never_falls_and_never_runs_ahead(sums):
    """The total grows with each sample by what the sum grew, and by nothing else."""
    total, before, last = Monotone(), 0.0, 0.0
    for value in sums:
        total.note(value)
        assert total.total == pytest.approx(before + max(0.0, value - last), rel=1e-9, abs=1e-3)
        before, last = total.total, value


@given(RULES, st.lists(st.booleans(), max_size=30), st.booleans())
def test_a_steady_target_is_known_in_time(rule, looks, steady):
    """Whatever was before: after as many equal looks as the rule needs, the state is the target's, and it stays."""
    states = _states(rule, looks + [steady] * rule.window * 2)
    assert set(states[len(looks) + rule.needed - 1 :]) == {State.UP if steady else State.DOWN}


@given(RULES, st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_change_has_its_reasons(rule, looks):
    """A known state changes only when `needed` of the last `window` looks said so, the last one among them."""
    states = _states(rule, looks)
    for number in range(1, len(states)):
        before, after = states[number - 1], states[number]
        if after is not before and before is not State.UNKNOWN:
            said = looks[max(0, number + 1 - rule.window) : number + 1]
            assert looks[number] is (after is State.UP)
            assert said.count(looks[number]) >= rule.needed


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.1, 3600))
def test_the_next_beat_is_ahead_and_on_the_beat(due, late, interval):
    """The next moment is never past, at most one interval away, and a whole number of intervals after the last."""
    now = due + late
    following = next_due(due, now, interval)
    assert now - 1e-6 <= following <= now + interval + 1e-6
    beats = (following - due) / interval
    assert beats == pytest.approx(round(beats), abs=1e-3)
