"""The account of what a Sentry destination never receives: reported once, by one sender, and the same after a kill."""

from __future__ import annotations

from collections import Counter

from agent.exporters.sentry_losses import Attempt, Losses
from agent.record import Signal

ERROR = ("ratelimit_backoff", "error")
MONITOR = ("ratelimit_backoff", "monitor")


def dropping(**counts: int) -> Attempt:
    """An attempt that dropped something."""
    return Attempt(dropped=Counter({("ratelimit_backoff", category): count for category, count in counts.items()}))


def telling(losses: Losses) -> Attempt:
    """An attempt that tells what there is to tell, and is taken."""
    attempt = Attempt(taken=True)
    losses.reserve(attempt)
    return attempt


def test_what_was_dropped_is_told_once():
    """A loss goes with the next attempt; once that is settled it is reported, also for an agent that reads the positions after a kill."""
    losses = Losses({})
    stored = losses.settle(Signal.SENTRY_MONITOR, dropping(monitor=2))
    attempt = telling(losses)
    assert attempt.reported == Counter({MONITOR: 2})
    assert Losses(stored).unreported() == Counter({MONITOR: 2})
    stored |= losses.settle(Signal.SENTRY_ERROR, attempt)
    assert losses.unreported() == Losses(stored).unreported() == Counter()


def test_two_senders_do_not_tell_the_same():
    """The losses of one attempt go with no other, until it has failed."""
    losses = Losses({})
    losses.settle(Signal.SENTRY_MONITOR, dropping(monitor=1))
    first = telling(losses)
    assert telling(losses).reported == Counter()
    losses.abandon(first)
    assert telling(losses).reported == Counter({MONITOR: 1})


def test_what_was_not_taken_is_not_told():
    """An attempt that the destination did not take has reported nothing, and its own losses must be reported later."""
    losses = Losses({})
    losses.settle(Signal.SENTRY_MONITOR, dropping(monitor=1))
    refused = dropping(error=3)
    losses.reserve(refused)
    losses.settle(Signal.SENTRY_ERROR, refused)
    assert losses.unreported() == Counter({MONITOR: 1, ERROR: 3})


def test_an_attempt_tells_of_itself():
    """The parts that an attempt left out go with its own report."""
    losses, attempt = Losses({}), dropping(attachment=2)
    attempt.taken = True
    assert losses.reserve(attempt) == Counter({("ratelimit_backoff", "attachment"): 2})
    losses.settle(Signal.SENTRY_ERROR, attempt)
    assert losses.unreported() == Counter()


def test_an_attempt_that_is_repeated_counts_once():
    """The losses of a failed attempt do not count: the row is tried again from the beginning."""
    losses = Losses({})
    for _ in range(3):
        losses.abandon(dropping(attachment=1))
    losses.settle(Signal.SENTRY_ERROR, dropping(attachment=1))
    assert losses.unreported() == Counter({("ratelimit_backoff", "attachment"): 1})


def test_nothing_is_stored_of_nothing():
    """An attempt without a loss changes no position."""
    assert Losses({}).settle(Signal.SENTRY_ERROR, Attempt(taken=True)) == {}
    assert Losses({}).settle(Signal.SENTRY_ERROR, Attempt(dropped=Counter({ERROR: 0}))) == {}


def test_what_made_room_in_the_spool_is_told_once():
    """Only rows that the destination would have received count, and only those since its last report, also after a kill."""
    losses = Losses({})
    losses.note_evicted({"logs": 9, "sentry.error": 2, "sentry.internal": 1})
    attempt = telling(losses)
    assert attempt.reported == Counter({("cache_overflow", "error"): 2})
    stored = losses.settle(Signal.SENTRY_ERROR, attempt)
    again = Losses(stored)
    again.note_evicted({"sentry.error": 5, "sentry.session": 1})
    assert again.unreported() == Counter({("cache_overflow", "error"): 3, ("cache_overflow", "session"): 1})
