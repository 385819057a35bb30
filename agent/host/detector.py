"""Finds errors among the records of all sources and makes Sentry envelopes of them, committed with the records they were found in.

    records ──▶ errors? ──▶ same as before? ──▶ event ──▶ sentry-sdk ──▶ envelope ─┐
                               └──▶ folded: a count in the source's positions ─────┴─▶ one commit with the records

A draft of the new state becomes the state only when the intake says that it is stored. What was folded is told when its window is over:
`tick` looks for such windows, `finish` ends all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from agent.encode.sentry_envelope import Envelope, Item, decode, dump, encode, make
from agent.encode.sentry_event import encode_event, occurrences, timestamp
from agent.encode.sentry_items import client_report, identifier, logs, payload
from agent.encode.sentry_trim import MAX_EVENT, fit
from agent.errors import SpoolError
from agent.host.intake import Detected
from agent.host.polling import State, describe, every
from agent.metrics import Kind, Metric
from agent.record import LogRecord, Origin, Payload, Severity, Signal
from agent.telemetry import DetectionFailed
from agent.verdict.crumbs import Crumbs, is_child
from agent.verdict.errors import EXIT, event_id, key_of, to_event
from agent.verdict.exits import Restarts, exit_event, loop_event, note_end, read_ending, told_already
from agent.verdict.monitors import Monitors
from agent.verdict.runs import Run
from agent.verdict.storms import PREFIX, Budget, Choice, Limits, Storms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from agent.clock import Clock
    from agent.encode.sentry_client import EventMaker
    from agent.encode.sentry_frames import Scene
    from agent.error_event import Attachment, Crumb, ErrorEvent
    from agent.host.blackbox import BlackBox
    from agent.host.polling import Look, ProbePoller
    from agent.metrics import Metrics
    from agent.parse.exceptions import FatalError
    from agent.record import Value
    from agent.telemetry import Telemetry
    from agent.verdict.crumbs import LazyCrumbs
    from agent.verdict.errors import Rules, Subject
    from agent.verdict.runs import Reporting
    from agent.verdict.storms import Draft, Summary

TICK: Final = 5.0
"""Seconds between two looks for windows that are over."""
CHILD: Final = "child"
"""The source that is the command of `exec`."""
ENDS: Final = f"{PREFIX}ends"
"""The position that holds when the command has lately ended badly."""
MAX_TEMPLATE: Final = 64 * 1024
"""Bytes of an event that is kept for a summary; a larger one is trimmed as far as that goes."""
RESTARTS: Final = "outrider.target.restarts"
"""The figure of a process tree's sampler that counts restarts."""
TARGET: Final = "outrider.target"
"""The source name of what is told of an observed process."""
MONITORS: Final = "outrider.monitors"
"""The source name of the check-ins of probes."""

FOUND: Final = Metric(
    "outrider.errors.found", Kind.COUNTER, "{error}", "Errors found in records, by what became of them: sent, folded, dropped."
)


class DetectorSpool(Protocol):
    """What the detector needs of the spool."""

    async def positions(self, source: str) -> Mapping[str, bytes]:
        """Return the committed positions of a source."""

    async def append(
        self, source: str, payloads: Sequence[Payload], positions: Mapping[str, bytes | None], drops: Mapping[str, int], *, replayable: bool
    ) -> int:
        """Commit everything or nothing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the detector goes by."""

    rules: Rules
    limits: Limits
    subject: Subject
    scene: Scene
    reporting: Reporting
    crumbs: int = 50
    """Breadcrumbs of an event."""
    logs: int | None = None
    """Records from this SeverityNumber on go to Sentry Logs; None = none."""
    known: tuple[str, ...] = ()
    """Sources that may have left windows open in an earlier run."""


@dataclass(slots=True)
class _Source:
    """What is known of one source."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    storms: Storms | None = None
    ends: list[int] = field(default_factory=list)
    """When the wrapped command ended badly, nanoseconds since the Unix epoch."""
    run: Run | None = None
    """The wrapped command's, while it runs."""
    uncaught: bool = False
    """Whether the last traceback on its stderr was that of an exception nobody caught."""
    fatal: FatalError | None = None
    """The interpreter's death that its stderr told of."""


@dataclass(slots=True)
class _Findings:
    """What a batch leads to, before it is stored."""

    source: str
    draft: Draft
    payloads: list[Payload] = field(default_factory=list)
    positions: dict[str, bytes | None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class Detector:
    """Implements the intake's `Detector`."""

    def __init__(
        self,
        setup: Setup,
        *,
        maker: EventMaker,
        box: BlackBox,
        spool: DetectorSpool,
        clock: Clock,
        metrics: Metrics,
        telemetry: Telemetry,
        figures: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """`figures` reads what is measured of the workload at this moment."""
        self._setup = setup
        self._maker = maker
        self._box = box
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._telemetry = telemetry
        self._figures = figures
        self._budget = Budget(setup.limits)
        self._sources: defaultdict[str, _Source] = defaultdict(_Source)
        self._crumbs = Crumbs(setup.crumbs)
        self._monitors = Monitors(setup.reporting)
        self._probes: Sequence[ProbePoller] = ()
        self._restarts = Restarts()

    @contextlib.asynccontextmanager
    async def judge(self, source: str, records: Sequence[LogRecord]) -> AsyncIterator[Detected]:
        """Look at redacted records; one batch of a source at a time if there are errors in it."""
        concerns = self._setup.rules.concerns
        errors = [index for index, record in enumerate(records) if concerns(record) or _is_exit(record)]
        before = self._crumbs.take(source, records)
        self._box.remember(source, records)
        state = self._sources[source]
        begins = self._setup.reporting.wanted and state.run is None and is_child(records[0])
        if not errors and not begins:
            yield Detected(self._logs(records))
            return
        async with state.lock:
            findings = _Findings(source, (await self._restored(source, state)).begin(), [*self._logs(records)])
            if begins and state.run is None:
                findings.payloads += self._begin(state, records[0])
            for index in errors:
                self._take(findings, state, records[index], before.of(index))
            yield self._detected(findings, state)

    def watch(self, probes: Sequence[ProbePoller]) -> None:
        """Check in for these probes."""
        self._probes = probes if self._setup.reporting.check_ins else ()

    async def run(self) -> None:
        """Look after the windows until cancelled."""
        await self.restore(self._setup.known)
        await every(self._clock, TICK, self.tick)

    async def restore(self, sources: Iterable[str]) -> None:
        """Take up the windows that an earlier run has left open."""
        for source in sources:
            state = self._sources[source]
            async with state.lock:
                await self._restored(source, state)

    async def tick(self) -> None:
        """Tell of the windows that are over; take a sample for the black box; look for a crash loop of the target; check in."""
        self._sample()
        if times_ns := self._restarts.note(self._figures().get(RESTARTS, 0.0), self._clock.wall_ns()):
            await self._tell_loop(times_ns)
        await self._close(all_of_them=False)
        for probe in self._probes:
            if probe.last is not None:
                await self._check_in(probe.last, probe.interval)

    async def finish(self) -> None:
        """Tell of all that was folded."""
        await self._close(all_of_them=True)

    def close(self) -> None:
        """Let go of the SDK's client."""
        self._maker.close()

    async def _restored(self, source: str, state: _Source) -> Storms:
        if state.storms is None:
            stored = await self._spool.positions(source)
            ours = {key: value for key, value in stored.items() if key.startswith(PREFIX)}
            state.ends = orjson.loads(ours.get(ENDS, b"[]"))
            state.storms = Storms(self._setup.limits, self._budget, ours)
        return state.storms

    def _sample(self) -> None:
        self._box.sample(self._clock.wall_ns(), self._figures())

    def _logs(self, records: Sequence[LogRecord]) -> list[Payload]:
        least = self._setup.logs
        some = [] if least is None else [record for record in records if record.severity >= least]
        if not some:
            return []
        reporting = self._setup.reporting
        return [payload(Signal.SENTRY_LOG, logs(some, labels=reporting.labels), service=reporting.service, records=len(some))]

    def _begin(self, state: _Source, record: LogRecord) -> list[Payload]:
        key = event_id(record, self._setup.subject, "run")
        state.run = Run(key, record.time_ns or record.observed_ns, self._setup.reporting)
        return state.run.begin()

    async def _tell_loop(self, times_ns: Sequence[int]) -> None:
        """A process that we did not start ends and comes again, over and over."""
        state, now_ns = self._sources[TARGET], self._clock.wall_ns()
        record = LogRecord(now_ns, now_ns, Severity.FATAL, "FATAL", "", {}, Origin("target:restarts"), now_ns)
        async with state.lock:
            findings = _Findings(TARGET, (await self._restored(TARGET, state)).begin())
            self._note(findings, loop_event(record, times_ns, self._setup.subject, "the target"))
            found = self._detected(findings, state)
            with contextlib.suppress(SpoolError):  # a full disk: the next restart tells of it
                await self._spool.append(TARGET, found.payloads, found.positions, found.drops, replayable=False)
                found.commit()

    async def _check_in(self, look: Look, interval: float) -> None:
        well = look.success if look.state is State.UNKNOWN else look.state is State.UP
        if not self._monitors.due(look.name, well=well, time_ns=look.time_ns, interval=interval):
            return
        made = self._monitors.payload(look.name, well=well, time_ns=look.time_ns, interval=interval, seconds=look.seconds)
        with contextlib.suppress(SpoolError):  # the next look does it
            await self._spool.append(MONITORS, [made], {}, {}, replayable=False)
            self._monitors.told(look.name, well=well, time_ns=look.time_ns)

    # --- records ------------------------------------------------------------------------------------------------------

    def _detected(self, findings: _Findings, state: _Source) -> Detected:
        draft, source = findings.draft, findings.source

        def commit() -> None:
            draft.commit()
            if ENDS in findings.positions:
                state.ends = orjson.loads(findings.positions[ENDS] or b"[]")
            for outcome, count in findings.counts.items():
                self._metrics.add(FOUND, count, {"source": source, "outcome": outcome})

        return Detected(findings.payloads, {**draft.positions(), **findings.positions}, {}, commit)

    def _take(self, findings: _Findings, state: _Source, record: LogRecord, crumbs: LazyCrumbs) -> None:
        """Make of a record what it tells of. Whatever is wrong with one, it is stored as a log record, and the others are looked at."""
        try:
            if _is_exit(record):
                self._take_exit(findings, state, record, crumbs)
            else:
                self._take_error(findings, state, record, crumbs)
        except Exception as error:  # noqa: BLE001 - the host: a record that breaks us must not stop its source for ever
            findings.counts["failed"] += 1
            self._telemetry.emit(DetectionFailed(findings.source, describe(error)))

    def _take_error(self, findings: _Findings, state: _Source, record: LogRecord, crumbs: LazyCrumbs) -> None:
        setup = self._setup
        event = to_event(record, setup.subject, setup.rules)
        state.uncaught = not event.mechanism.handled and event.fatal is None
        if state.run is not None:
            state.run.errors += 1
        if is_child(record) and event.fatal is not None and not event.fatal.reason.startswith("Timeout"):
            state.fatal = event.fatal  # the process is dying: its end will tell of it
            return
        self._note(findings, event, crumbs)

    def _take_exit(self, findings: _Findings, state: _Source, record: LogRecord, crumbs: LazyCrumbs) -> None:
        setup, ending, now_ns = self._setup, read_ending(record), record.time_ns or record.observed_ns
        uncaught, fatal = state.uncaught, state.fatal
        state.uncaught, state.fatal = False, None
        told = told_already(ending, uncaught=uncaught)
        if state.run is not None:
            findings.payloads += state.run.end(ending, now_ns, uncaught=told)
        if ending.good:
            return
        if not told:
            self._note(findings, exit_event(record, ending, setup.subject, fatal=fatal, in_app=setup.rules.in_app), crumbs)
        ends, loop = note_end(state.ends, now_ns)
        findings.positions[ENDS] = orjson.dumps(ends)
        if loop:
            self._note(findings, loop_event(record, ends, setup.subject, ending.program), crumbs)

    def _note(self, findings: _Findings, event: ErrorEvent, crumbs: Callable[[], tuple[Crumb, ...]] = tuple) -> None:
        """Send an error, or fold it. Only what is told wants breadcrumbs, and of a storm nearly nothing is."""
        key = key_of(event.fingerprint)
        choice = findings.draft.note(key, event.time_ns, self._clock.wall_ns())
        findings.counts[_OUTCOMES[choice]] += 1
        if choice in (Choice.SEND, Choice.FOLD_FIRST):
            event = replace(event, breadcrumbs=crumbs())
        if choice is Choice.FOLD_FIRST:
            findings.draft.keep(key, self._template(event))
        if choice is Choice.SEND:
            findings.payloads.append(self._payload(findings.source, event))

    def _template(self, event: ErrorEvent) -> bytes:
        """The event that a summary will be made of: it lies in the positions, so it must be small."""
        whole = Envelope({}, [Item("event", dump(self._encoded(event)))])
        return fit(whole, MAX_TEMPLATE).items[0].body

    def _encoded(self, event: ErrorEvent) -> dict[str, Value]:
        labels = self._setup.reporting.labels
        return encode_event(event, self._setup.scene, release=labels.get("release", ""), environment=labels.get("environment", ""))

    def _payload(self, source: str, event: ErrorEvent) -> Payload:
        items = [Item("event", self._maker.make(occurrences(self._encoded(event), 1, event.time_ns, event.time_ns)))]
        if not event.mechanism.handled or event.level == "fatal":
            self._sample()
            items += [Item("attachment", one.body, _about(one)) for one in self._box.attachments(source)]
        return self._envelope(items, event.event_id)

    def _envelope(self, items: Sequence[Item], event_id: str) -> Payload:
        body = make(items, service=self._setup.subject.service, event_id=event_id)
        if len(body) > MAX_EVENT:
            body = encode(fit(decode(body), MAX_EVENT))
        return Payload(Signal.SENTRY_ERROR, 1, body)

    # --- windows that are over -----------------------------------------------------------------------------------------

    async def _close(self, *, all_of_them: bool) -> None:
        for source, state in list(self._sources.items()):
            async with state.lock:
                if state.storms is not None:
                    await self._close_one(source, state.storms, all_of_them=all_of_them)

    async def _close_one(self, source: str, storms: Storms, *, all_of_them: bool) -> None:
        draft = storms.begin()
        summaries = draft.close(self._clock.wall_ns(), all_of_them=all_of_them)
        payloads = [self._summary(source, one) for one in summaries]
        lost = storms.overflow
        draft.overflow = -lost
        if report := self._report(sum(one.window.folded - 1 for one in summaries), lost):
            payloads.append(report)
        positions = draft.positions()
        if positions:
            with contextlib.suppress(SpoolError):  # nothing was stored: the next look does it
                await self._spool.append(source, payloads, positions, {}, replayable=True)
                draft.commit()

    def _summary(self, source: str, summary: Summary) -> Payload:
        window = summary.window
        event: dict[str, Value] = orjson.loads(summary.event)
        number = identifier(source, summary.fingerprint, str(window.opened_ns))
        told = occurrences(event, window.folded, window.first_ns, window.last_ns)
        told |= {"event_id": number, "timestamp": timestamp(window.last_ns)}
        return self._envelope([Item("event", self._maker.make(told))], number)

    def _report(self, folded: int, dropped: int) -> Payload | None:
        """What no event of its own tells of."""
        if not folded and not dropped:
            return None
        item = client_report(self._clock.wall_ns(), {("sample_rate", "error"): folded, ("buffer_overflow", "error"): dropped})
        return payload(Signal.SENTRY_REPORT, item, service=self._setup.subject.service)


_OUTCOMES: Final = {Choice.SEND: "sent", Choice.FOLD: "folded", Choice.FOLD_FIRST: "folded", Choice.DROP: "dropped"}


def _about(attachment: Attachment) -> dict[str, Value]:
    return {"filename": attachment.filename, "content_type": attachment.content_type, "attachment_type": "event.attachment"}


def _is_exit(record: LogRecord) -> bool:
    return record.attributes.get("event.name") == EXIT
