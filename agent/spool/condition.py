"""The state of the spool as it is reported, and how long appends wait after a full disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from agent.retry import Backoff
from agent.spool.values import State, StateChanged

if TYPE_CHECKING:
    from agent.spool.open_file import Session

LIFT_AFTER: Final = 5.0
"""Seconds after a full disk before more than what was in use then is tried again."""
_PROBE: Final = Backoff(first=1.0, longest=3.0)


class Condition:
    """The state of the spool, with its reason; each change of it is an event of the session."""

    def __init__(self, session: Session) -> None:
        self.state, self.reason = State.OK, ""
        self._session = session
        self._disk_full = False
        self._waits = 0
        self._try_at = 0.0
        """Monotonic seconds: until then appends had better wait."""
        self.lift_at = 0.0
        """Monotonic seconds: until then no more is granted than what was in use when the disk was full."""
        self._last_seq = 0

    @property
    def full(self) -> bool:
        """Whether appends had better wait: the quota is used up, or the disk was full a moment ago."""
        return self._session.refused > 0 or (self._disk_full and time.monotonic() < self._try_at)

    def disk_is_full(self, last_seq: int) -> None:
        """Have appends wait, for longer each time: only a try shows what can be written where."""
        self._disk_full, self._waits = True, self._waits + 1
        self._try_at = time.monotonic() + _PROBE.delay(self._waits, 1.0)
        self.lift_at = time.monotonic() + LIFT_AFTER
        self._last_seq = last_seq
        self.settle()

    def committed(self, last_seq: int) -> None:
        """After a commit: a row that was stored proves that the disk has room."""
        if last_seq > self._last_seq:
            self._disk_full, self._waits = False, 0
            self._last_seq = last_seq
        self.settle()

    def settle(self) -> None:
        """Report the state of the open file."""
        if self._disk_full:
            self.now(State.DEGRADED, "the disk is full")
        elif self._session.refused:
            self.now(State.FULL, "the quota is used up")
        else:
            self.now(State.OK, "")

    def now(self, state: State, reason: str) -> None:
        """Change the state, and report that if it is another."""
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self._session.events.append(StateChanged(state, reason))
