"""One run of a process as Sentry counts it: a release-health session and, of the wrapped command, a cron check-in. Pure.

not begun ──first record──▶ running (session ok, check-in in_progress) ──exit──▶ over (exited | crashed | abnormal; ok | error)

A run is stored while it lasts, with the rows that report it: a kill of the agent neither loses its end nor begins it again. Its end is `exited`
if it was orderly, `crashed` if there is proof that the process failed, `abnormal` if it was cut short (SIGKILL) or is unknown. Sentry's
crash-free rate counts only `crashed`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from agent.issues.envelope.items import check_in, crontab_schedule, identifier, payload, session
from agent.issues.envelope.names import slug
from agent.issues.reading.rules import is_child
from agent.names import CHILD, LOG_STREAM, PROCESS_BEGAN
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.issues.envelope.format import EnvelopeItem
    from agent.issues.reading.exits import ExitStatus
    from agent.record import LogRecord, Origin, Payload

RUN: Final = "run:"
"""Of the positions that hold the runs that have not ended."""
CHILD_RUN: Final = f"{RUN}{CHILD}"
"""The position of the command's run."""


@dataclass(frozen=True, slots=True)
class Reporting:
    """The options of sessions and check-ins."""

    service: str
    labels: Mapping[str, str]
    """Release and environment, as far as they are known."""
    sessions: bool = False
    """Sentry accepts no session without a release, so none is made without one."""
    check_ins: bool = False
    schedule: str = ""
    """When the command runs, as a crontab; "" = the monitor exists already."""
    monitor: str = ""
    """The slug of the command's monitor; "" = that of the service."""

    @property
    def wanted(self) -> bool:
        """Whether anything is sent about runs."""
        return self.check_ins or (self.sessions and "release" in self.labels)


def stored_runs(positions: Mapping[str, bytes], reporting: Reporting) -> Iterator[tuple[str, Run]]:
    """The runs that had not ended when the positions were stored, by their keys there."""
    for name, value in positions.items():
        if name.startswith(RUN):
            key, started_ns, errors, holder, *monitor = orjson.loads(value)
            yield name, Run(key, started_ns, reporting, errors, holder, *monitor)


def place_of(origin: Origin) -> str:
    """The key of the position of the run of a process that records of this origin are about."""
    return CHILD_RUN if is_child(origin) else RUN + origin.key


def began_ns(record: LogRecord) -> int:
    """When the process of a record began: as our own records of processes say, or as the key of the command's output does; not what it logs.

    Keys: `child:PID:NANOSECONDS:STREAM`, `child:PID:exit`, `process:…`; of another one it is when the record was seen.
    """
    parts = record.origin.key.split(":")
    if LOG_STREAM not in record.origin.attributes:
        began = record.attributes.get(PROCESS_BEGAN)
        return began if isinstance(began, int) else record.observed_ns
    return int(parts[2]) if len(parts) == 4 and parts[2].isdigit() else record.observed_ns


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has begun."""

    key: str
    """Of this run and no other."""
    started_ns: int
    reporting: Reporting
    errors: int = 0
    holder: str = ""
    """The agent process whose child it is; "" if it is not a child: then any agent may see its end."""
    monitor: str = ""
    """Of the command that it is a run of, if an earlier agent began it."""

    def with_more(self, errors: int) -> Run:
        """It after some more errors."""
        return replace(self, errors=self.errors + errors)

    def dump(self) -> bytes:
        """The bytes to store."""
        return orjson.dumps([self.key, self.started_ns, self.errors, self.holder, self._monitor()])

    def _monitor(self) -> str:
        return self.monitor or self.reporting.monitor or slug(self.reporting.service)

    def begin(self) -> list[Payload]:
        """The payloads at its beginning."""
        return self._payloads("ok", "in_progress", self.started_ns, first=True)

    def end(self, ending: ExitStatus, now_ns: int, *, uncaught: bool) -> list[Payload]:
        """The payloads at its end."""
        status = "crashed" if uncaught and not ending.good else ending.session_status
        now_ns = max(now_ns, self.started_ns + 1_000_000)  # the clock may have been set back; Sentry takes the higher `seq`
        check = "ok" if ending.good else "" if ending.unknown else "error"  # an unknown end becomes a timeout in Sentry
        return self._payloads(status, check, now_ns, first=False)

    def _payloads(self, status: str, check: str, now_ns: int, *, first: bool) -> list[Payload]:
        made, reporting = [], self.reporting
        if reporting.sessions and "release" in reporting.labels:
            made.append(self._payload(Signal.SENTRY_SESSION, self._session(status, now_ns, first=first)))
        if reporting.check_ins and self.holder and check:
            made.append(self._payload(Signal.SENTRY_MONITOR, self._check_in(check, now_ns, first=first)))
        return made

    def _payload(self, signal: Signal, item: EnvelopeItem) -> Payload:
        return payload(signal, item, service=self.reporting.service)

    def _session(self, status: str, now_ns: int, *, first: bool) -> EnvelopeItem:
        sid = identifier(self.key, "session")
        labels, began = self.reporting.labels, self.started_ns
        return session(sid, status, started_ns=began, now_ns=now_ns, first=first, errors=self.errors, labels=labels)

    def _check_in(self, status: str, now_ns: int, *, first: bool) -> EnvelopeItem:
        reporting = self.reporting
        return check_in(
            self._monitor(),
            status,
            check_in_id=identifier(self.key, "check-in"),
            labels={key: value for key, value in reporting.labels.items() if key == "environment"},
            config=crontab_schedule(reporting.schedule) if reporting.schedule else None,
            duration=None if first else (now_ns - self.started_ns) / 1e9,
        )
