"""Folding: the first error is sent, the rest are counted, nothing is forgotten, and a draft that was not stored changes nothing."""

from __future__ import annotations

from agent.issues.windows import Budget, Choice, FoldingLimits, OpenWindows

SECOND = 10**9
LIMITS = FoldingLimits(window_ns=60 * SECOND, per_group=1, total=100, groups=3)


def storms(limits: FoldingLimits = LIMITS, stored: dict[str, bytes] | None = None) -> OpenWindows:
    """The windows of a source."""
    return OpenWindows(limits, Budget(limits), stored)


def note(state: OpenWindows, fingerprint: str, now: int, stored: dict[str, bytes]) -> Choice:
    """Note one error and store it."""
    draft = state.begin()
    choice = draft.note(fingerprint, now, now)
    if choice is Choice.FOLD_FIRST:
        draft.keep(fingerprint, b"{}")
    keep(stored, draft.positions())
    draft.commit()
    return choice


def keep(stored: dict[str, bytes], positions: dict[str, bytes | None]) -> None:
    """The spool's part: keep the positions."""
    for key, value in positions.items():
        if value is None:
            stored.pop(key, None)
        else:
            stored[key] = value


def test_the_first_is_sent_and_the_rest_are_folded():
    """Of 10,000 equal errors in a window one is sent, and the summary counts the others, with the first and the last time."""
    state, stored = storms(), {}
    choices = [note(state, "a", SECOND + number, stored) for number in range(10_000)]
    assert choices[:3] == [Choice.SEND, Choice.FOLD_FIRST, Choice.FOLD]
    assert choices.count(Choice.SEND) == 1
    draft = state.begin()
    (summary,) = draft.close(62 * SECOND)
    assert (summary.window.folded, summary.window.first_ns, summary.window.last_ns) == (9_999, SECOND + 1, SECOND + 9_999)
    assert summary.event == b"{}"


def test_nothing_is_over_before_its_time():
    """An open window has no summary; one without folded errors is forgotten silently."""
    state, stored = storms(), {}
    note(state, "a", SECOND, stored)
    assert state.begin().close(2 * SECOND) == []
    draft = state.begin()
    assert draft.close(61 * SECOND) == []
    keep(stored, draft.positions())
    assert stored == {}


def test_a_kill_forgets_no_count():
    """State that is made of what was stored folds on where the killed one stopped."""
    state, stored = storms(), {}
    for number in range(5):
        note(state, "a", SECOND + number, stored)
    again = storms(stored=dict(stored))
    assert note(again, "a", 2 * SECOND, stored) is Choice.FOLD
    (summary,) = again.begin().close(100 * SECOND)
    assert summary.window.folded == 5
    assert summary.event == b"{}"


def test_a_draft_that_is_not_stored_changes_nothing():
    """An error whose batch was not stored is a first error again when the batch is read again."""
    state = storms()
    assert state.begin().note("a", 1, 1) is Choice.SEND
    assert state.begin().note("a", 1, 1) is Choice.SEND
    assert state.windows == {}


def test_a_window_after_the_window():
    """When the window has ended and is summed up, the next error is sent by itself again."""
    state, stored = storms(), {}
    note(state, "a", SECOND, stored)
    assert note(state, "a", 62 * SECOND, stored) is Choice.SEND
    note(state, "a", 63 * SECOND, stored)
    assert note(state, "a", 200 * SECOND, stored) is Choice.FOLD  # no summary yet: the count must not be lost
    (summary,) = state.begin().close(200 * SECOND)
    assert summary.window.folded == 2


def test_a_clock_that_is_set_back_ends_a_window():
    """A window that lies in the future has ended, so that nothing is held back for years."""
    state, stored = storms(), {}
    note(state, "a", 100 * SECOND, stored)
    note(state, "a", 101 * SECOND, stored)
    assert len(state.begin().close(10 * SECOND)) == 1


def test_too_many_kinds_are_counted():
    """A group beyond the limit is dropped and counted, stored, and the count is reduced when it was reported."""
    state, stored = storms(), {}
    choices = [note(state, name, SECOND, stored) for name in "abcde"]
    assert choices == [Choice.SEND] * 3 + [Choice.DROP] * 2
    assert storms(stored=stored).overflow == state.overflow == 2
    draft = state.begin()
    draft.overflow = -2
    keep(stored, draft.positions())
    draft.commit()
    assert storms(stored=stored).overflow == state.overflow == 0


def test_the_limit_for_all_folds_new_kinds():
    """Beyond the limit for all groups a new one is folded, not lost: it is sent when there is room."""
    limits = FoldingLimits(window_ns=60 * SECOND, total=2, groups=10)
    state, stored = storms(limits), {}
    assert [note(state, name, SECOND, stored) for name in "abc"] == [Choice.SEND, Choice.SEND, Choice.FOLD_FIRST]
    draft = state.begin()
    (summary,) = draft.close(70 * SECOND)
    assert (summary.key, summary.window.folded) == ("c", 1)


def test_summaries_keep_to_the_limit_for_all():
    """Windows whose summary there is no room for stay open until there is; at the end of a run all are summed up."""
    limits = FoldingLimits(window_ns=60 * SECOND, total=2, groups=10)
    state, stored = storms(limits), {}
    for name in "abcd":
        note(state, name, SECOND, stored)
        note(state, name, 2 * SECOND, stored)
    draft = state.begin()
    assert len(draft.close(70 * SECOND)) == 2
    draft.commit()
    assert len(state.begin().close(71 * SECOND, all_of_them=True)) == 2


def test_a_draft_that_was_not_stored_takes_no_budget():
    """However many drafts are given up, as many events are sent as the limit allows; while they are open, no more than that."""
    limits = FoldingLimits(total=2)
    state = storms(limits)
    for _ in range(9):
        with state.begin() as draft:
            assert draft.note("a", SECOND, SECOND) is Choice.SEND
    with state.begin() as first, state.begin() as second, state.begin() as third:
        choices = [draft.note(name, SECOND, SECOND) for draft, name in ((first, "a"), (second, "b"), (third, "c"))]
        assert choices == [Choice.SEND, Choice.SEND, Choice.FOLD_FIRST]
        first.commit()
    with state.begin() as draft:
        assert [draft.note(name, SECOND, SECOND) for name in "de"] == [Choice.SEND, Choice.FOLD_FIRST]


def test_a_summary_has_the_first_values():
    """The first different messages of folded errors are kept, over a kill as well, each of bounded length."""
    state, stored = storms(), {}
    for number in range(40):
        draft = state.begin()
        draft.note("a", SECOND + number, SECOND + number, f"order {number // 2} " + "x" * 1000)
        keep(stored, draft.positions())
        draft.commit()
        state = storms(stored=dict(stored))
    (summary,) = state.begin().close(62 * SECOND)
    assert [value.split()[1] for value in summary.window.values] == [str(number) for number in range(10)]
    assert {len(value) for value in summary.window.values} == {200}
    assert summary.window.folded == 39


def test_what_an_earlier_version_stored():
    """A window that was stored without values continues."""
    state = storms(stored={"window:a": b"[1000000000,1,3,5,7]", "event:a": b"{}"})
    draft = state.begin()
    assert draft.note("a", SECOND, SECOND + 1, "\ud800") is Choice.FOLD
    assert draft.positions()["window:a"].endswith(b'["?"]]')
    (summary,) = storms(stored={"window:a": b'[1,1,3,5,7,["x"]]'}).begin().close(62 * SECOND)
    assert (summary.window.folded, summary.window.values) == (3, ("x",))
