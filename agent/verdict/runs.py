"""One run of the wrapped command as Sentry counts it: a release-health session and a cron check-in. Pure.

not begun ──first record──▶ running (session ok, check-in in_progress) ──exit──▶ over (exited | crashed | abnormal; ok | error)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.encode.sentry_items import check_in, crontab_schedule, identifier, payload, session, slug
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.encode.sentry_envelope import Item
    from agent.record import Payload
    from agent.verdict.exits import Ending


@dataclass(frozen=True, slots=True)
class Reporting:
    """What is told of runs."""

    service: str
    labels: Mapping[str, str]
    """Release and environment, as far as they are known."""
    sessions: bool = False
    """Sentry takes no session without a release, so none is made without one."""
    check_ins: bool = False
    schedule: str = ""
    """When the command runs, as a crontab; "" = the monitor exists already."""

    @property
    def wanted(self) -> bool:
        """Whether runs are told of at all."""
        return self.check_ins or (self.sessions and "release" in self.labels)


@dataclass(slots=True)
class Run:
    """A run that has begun."""

    key: str
    """Of this run and no other."""
    started_ns: int
    reporting: Reporting
    errors: int = 0

    def begin(self) -> list[Payload]:
        """What is told at its beginning."""
        return self._told("ok", "in_progress", self.started_ns, first=True)

    def end(self, ending: Ending, now_ns: int, *, uncaught: bool) -> list[Payload]:
        """What is told at its end."""
        status = "crashed" if uncaught and not ending.good else ending.session_status
        return self._told(status, "ok" if ending.good else "error", now_ns, first=False)

    def _told(self, status: str, check: str, now_ns: int, *, first: bool) -> list[Payload]:
        told, reporting = [], self.reporting
        if reporting.sessions and "release" in reporting.labels:
            told.append(self._payload(Signal.SENTRY_SESSION, self._session(status, now_ns, first=first)))
        if reporting.check_ins:
            told.append(self._payload(Signal.SENTRY_MONITOR, self._check_in(check, now_ns, first=first)))
        return told

    def _payload(self, signal: Signal, item: Item) -> Payload:
        return payload(signal, item, service=self.reporting.service)

    def _session(self, status: str, now_ns: int, *, first: bool) -> Item:
        sid = identifier(self.key, "session")
        labels, began = self.reporting.labels, self.started_ns
        return session(sid, status, started_ns=began, now_ns=now_ns, first=first, errors=self.errors, labels=labels)

    def _check_in(self, status: str, now_ns: int, *, first: bool) -> Item:
        reporting = self.reporting
        return check_in(
            slug(reporting.service),
            status,
            check_in_id=identifier(self.key, "check-in"),
            labels={key: value for key, value in reporting.labels.items() if key == "environment"},
            config=crontab_schedule(reporting.schedule) if reporting.schedule else None,
            duration=None if first else (now_ns - self.started_ns) / 1e9,
        )
