"""Finds errors among the records of all sources and makes Sentry envelopes of them, committed with the records they were found in.

    records ──▶ errors? ──▶ same as before? ──▶ event ──▶ sentry-sdk ──▶ envelope ─┐
                               └──▶ folded: a count in the source's positions ─────┴─▶ one commit with the records

A draft of the new state becomes the state only when the intake says that it is stored. What was folded is told when its window is over:
`tick` looks for such windows, `finish` ends all of them.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from agent.columns import first_origin, unusual
from agent.encode.sentry_envelope import Envelope, Item, decode, dump, encode, make
from agent.encode.sentry_event import encode_event, occurrences, timestamp
from agent.encode.sentry_items import client_report, identifier, logs, payload
from agent.encode.sentry_trim import MAX_EVENT, fit
from agent.errors import SpoolError
from agent.host.findings import ENDS, Findings, Known
from agent.host.intake import Detected
from agent.host.observing import TARGET
from agent.host.polling import State, describe, every
from agent.metrics import Kind, Metric
from agent.record import Payload, Signal
from agent.telemetry import DetectionFailed
from agent.verdict.crumbs import Crumbs, is_child
from agent.verdict.errors import EXIT, event_id, to_event
from agent.verdict.exits import Ending, exit_event, kill_event, loop_event, note_end, read_ending, told_already
from agent.verdict.grouping import key_of
from agent.verdict.monitors import Monitors
from agent.verdict.observed import OOM_KILLED, STARTED
from agent.verdict.runs import RUN, Run, began_ns, stored_runs
from agent.verdict.storms import PREFIX, Budget, Choice, Limits, Storms
from agent.verdict.words import is_death

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from agent.clock import Clock
    from agent.encode.sentry_frames import Scene
    from agent.error_event import Attachment, Crumb, ErrorEvent
    from agent.host.blackbox import BlackBox, Sample
    from agent.host.polling import Look, ProbePoller
    from agent.metrics import Metrics
    from agent.record import LogRecord, Value
    from agent.telemetry import Telemetry
    from agent.verdict.crumbs import LazyCrumbs
    from agent.verdict.errors import Rules, Subject
    from agent.verdict.runs import Reporting
    from agent.verdict.storms import Summary

TICK: Final = 5.0
"""Seconds between two looks for windows that are over."""
PATIENCE: Final = 0.5
"""Seconds that a look waits for a source: one whose batch waits for room in the spool, maybe for hours, is not to stop the look at the others."""
CHILD: Final = "child"
"""The source that is the command of `exec`."""
MAX_TEMPLATE: Final = 64 * 1024
"""Bytes of an event that is kept for a summary; a larger one is trimmed as far as that goes."""
HOLDER: Final = uuid.uuid4().hex
"""This process, among all that ever held the state directory."""
CHILD_RUN: Final = f"{RUN}{CHILD}"
"""The position of the command's run."""
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


class Making(Protocol):
    """What completes and scrubs events: sentry-sdk."""

    async def make(self, event: Mapping[str, Value]) -> bytes:
        """The event as JSON. The first one may take long, but does not hold the event loop."""

    def close(self) -> None:
        """Let go of what it holds."""


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


class Detector:
    """Implements the intake's `Detector`."""

    def __init__(
        self,
        setup: Setup,
        *,
        maker: Making,
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
        self._sources: defaultdict[str, Known] = defaultdict(Known)
        self._waiting: dict[object, tuple[str, Sequence[LogRecord]]] = {}
        """Batches that are judged and not stored, in order."""
        self._crumbs = Crumbs(setup.crumbs)
        self._monitors = Monitors(setup.reporting)
        self._probes: Sequence[ProbePoller] = ()
        self._silent: Run | None = None
        """Of the wrapped command, while it has said nothing."""

    @contextlib.asynccontextmanager
    async def judge(self, source: str, records: Sequence[LogRecord]) -> AsyncIterator[Detected]:
        """Look at redacted records; one batch of a source at a time if there are errors in it."""
        concerns = self._setup.rules.concerns
        errors = [(index, record) for index, record in self._setup.rules.among(records) if concerns(record) or _of_process(record)]
        state = self._sources[source]
        of_child = is_child(first_origin(records))
        begins = of_child and self._setup.reporting.wanted and not _is_ours(state.runs.get(CHILD_RUN))
        keep = partial(self._keep, source, records, of_child=of_child)
        waiting, ours = [*self._waiting.values()], object()
        self._waiting[ours] = source, records
        try:
            if not errors and not begins:
                yield Detected(self._logs(records), commit=keep)
                return
            before = self._crumbs.before(source, records, (record.origin for _, record in errors), waiting)
            async with state.lock:
                with (await self._restored(source, state)).begin() as draft:
                    findings = Findings(source, state, state if of_child else self._sources[TARGET], draft, self._logs(records))
                    if begins:
                        self._begin_child(findings, records[0])
                    for index, record in errors:
                        await self._take(findings, record, before.of(index))
                    yield self._detected(findings, keep)
        finally:
            del self._waiting[ours]

    def watch(self, probes: Sequence[ProbePoller]) -> None:
        """Check in for these probes."""
        self._probes = probes if self._setup.reporting.check_ins else ()

    def started(self, key: str, began_ns: int) -> None:
        """The wrapped command runs: the next tick tells of that, if nothing that it says has done so by then."""
        self._silent = Run(identifier(key, "run"), began_ns, self._setup.reporting, holder=HOLDER)

    async def run(self) -> None:
        """Look after the windows until cancelled."""
        await self.restore(self._setup.known)
        await self._end_orphans()
        await every(self._clock, TICK, self.tick)

    async def restore(self, sources: Iterable[str]) -> None:
        """Take up the windows that an earlier run has left open."""
        for source in sources:
            state = self._sources[source]
            async with state.lock:
                await self._restored(source, state)

    async def tick(self) -> None:
        """Tell of the windows that are over; take a sample for the black box; check in."""
        self._box.sample(*self._measured())
        self._setup.scene.workload.look()
        await self._end_orphans()
        await self._begin_silent()
        await self._keep_runs()
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

    async def _restored(self, source: str, state: Known) -> Storms:
        if state.storms is None:
            stored = await self._spool.positions(source)
            ours = {key: value for key, value in stored.items() if key.startswith(PREFIX)}
            state.ends = orjson.loads(ours.get(ENDS, b"[]"))
            state.runs = dict(stored_runs(ours, self._setup.reporting))
            state.storms = Storms(self._setup.limits, self._budget, ours)
        return state.storms

    def _logs(self, records: Sequence[LogRecord]) -> list[Payload]:
        least = self._setup.logs
        some = [] if least is None else [record for _, record in unusual(records, bytes(range(least))) if record.severity >= least]
        by_service: defaultdict[str, list[LogRecord]] = defaultdict(list)
        for record in some:
            by_service[self._setup.subject.of(record)].append(record)
        return [
            payload(Signal.SENTRY_LOG, logs(group, labels=self._labels(service)), service=service, records=len(group))
            for service, group in by_service.items()
        ]

    def _labels(self, service: str) -> Mapping[str, str]:
        """Release and environment; our release is no other service's."""
        labels, ours = self._setup.reporting.labels, self._setup.subject.service
        return labels if service == ours else {key: value for key, value in labels.items() if key != "release"}

    def _begin(self, findings: Findings, place: str, key: str, record: LogRecord, holder: str = "") -> None:
        reporting = self._setup.reporting
        if not reporting.wanted:
            return
        run = Run(key, began_ns(record), reporting, holder=holder)
        findings.runs[place] = run
        findings.payloads += run.begin()

    def _begin_child(self, findings: Findings, record: LogRecord) -> None:
        """Begin the command's run with its first record."""
        before = findings.own.runs.get(CHILD_RUN)
        if not _is_ours(before):
            findings.payloads += self._end_of_orphan(before) if before is not None else ()
            self._begin(findings, CHILD_RUN, event_id(record, self._setup.subject, "run"), record, HOLDER)

    def _end_of_orphan(self, run: Run) -> list[Payload]:
        """Of the run of an earlier agent's command: that agent was killed, and nobody knows how the command ended."""
        return run.end(Ending(unknown=True), self._clock.wall_ns(), uncaught=False)

    async def _end_orphans(self) -> None:
        state = self._sources[CHILD]
        async with state.lock:
            await self._restored(CHILD, state)
            run = state.runs.get(CHILD_RUN)
            if run is not None and not _is_ours(run):
                with contextlib.suppress(SpoolError):  # the next look does it
                    await self._spool.append(CHILD, self._end_of_orphan(run), {CHILD_RUN: None}, {}, replayable=False)
                    del state.runs[CHILD_RUN]

    async def _begin_silent(self) -> None:
        """Tell that the command runs, before anybody misses its check-in."""
        state = self._sources[CHILD]
        async with state.lock:
            await self._restored(CHILD, state)
            run = self._silent
            if run is None or CHILD_RUN in state.runs or not self._setup.reporting.wanted:
                return
            with contextlib.suppress(SpoolError):  # the next look does it, or what it says first
                await self._spool.append(CHILD, run.begin(), {CHILD_RUN: run.dump()}, {}, replayable=False)
                state.runs[CHILD_RUN] = run

    async def _keep_runs(self) -> None:
        """Store how many errors there were in runs: their ends tell it, whoever sees them."""
        for source, state in list(self._sources.items()):
            async with state.free_within(PATIENCE) as free:
                if free and state.grown and state.runs:
                    state.grown = False  # others may let them grow meanwhile
                    kept = {place: run.dump() for place, run in state.runs.items()}
                    try:
                        await self._spool.append(source, [], kept, {}, replayable=False)
                    except SpoolError:  # the next look does it
                        state.grown = True

    async def _check_in(self, look: Look, interval: float) -> None:
        well = look.success if look.state is State.UNKNOWN else look.state is State.UP
        if not self._monitors.due(look.name, well=well, time_ns=look.time_ns, interval=interval):
            return
        made = self._monitors.payload(look.name, well=well, time_ns=look.time_ns, interval=interval, seconds=look.seconds)
        with contextlib.suppress(SpoolError):  # the next look does it
            await self._spool.append(MONITORS, [made], {}, {}, replayable=False)
            self._monitors.told(look.name, well=well, time_ns=look.time_ns)

    # --- records ------------------------------------------------------------------------------------------------------

    def _keep(self, source: str, records: Sequence[LogRecord], *, of_child: bool) -> None:
        """A batch is stored: it is what goes before the next."""
        self._crumbs.keep(source, records)
        self._box.remember(source, records)
        if of_child:
            self._silent = None

    def _detected(self, findings: Findings, keep: Callable[[], None]) -> Detected:
        def commit() -> None:
            keep()
            findings.apply()
            for outcome, count in findings.counts.items():
                self._metrics.add(FOUND, count, {"source": findings.source, "outcome": outcome})
            for failure in findings.failures:
                self._telemetry.emit(DetectionFailed(findings.source, failure))

        return Detected(findings.payloads, findings.positions(), {}, commit)

    async def _take(self, findings: Findings, record: LogRecord, crumbs: LazyCrumbs) -> None:
        """Make of a record what it tells of. Whatever is wrong with one, it is stored as a log record, and the others are looked at."""
        try:
            name = record.attributes.get("event.name") if _of_process(record) else None
            if name == EXIT:
                await self._take_exit(findings, record, crumbs)
            elif name == STARTED:
                self._begin(findings, RUN + record.origin.key, record.origin.key, record)
            elif name == OOM_KILLED:
                await self._note(findings, kill_event(record, self._setup.subject), crumbs)
            else:
                await self._take_error(findings, record, crumbs)
        except Exception as error:  # noqa: BLE001 - the host: a record that breaks us must not stop its source for ever
            findings.counts["failed"] += 1
            findings.failures.append(describe(error))

    async def _take_error(self, findings: Findings, record: LogRecord, crumbs: LazyCrumbs) -> None:
        event = to_event(record, self._setup.subject, self._setup.rules)
        findings.hear(record, event)
        if is_child(record.origin) and is_death(event):
            findings.keep_for_the_end(event)
        else:
            await self._note(findings, event, crumbs)

    async def _take_exit(self, findings: Findings, record: LogRecord, crumbs: LazyCrumbs) -> None:
        setup, ending, now_ns = self._setup, read_ending(record), record.time_ns or record.observed_ns
        place = CHILD_RUN if is_child(record.origin) else RUN + record.origin.key
        words = findings.last_words()
        told = told_already(ending, uncaught=words.uncaught(now_ns), fatal=words.died(now_ns))
        run = findings.run(place)
        if run is not None:
            findings.runs[place] = None
            findings.payloads += run.end(ending, now_ns, uncaught=told)
        if ending.bad and not told:
            fatal = words.untold.fatal if words.untold else None
            await self._note(findings, exit_event(record, ending, setup.subject, fatal=fatal, in_app=setup.rules.in_app), crumbs)
        elif words.untold is not None:  # it was another interpreter's, a worker's say
            await self._note(findings, words.untold, crumbs)
        if ending.killed_beside:
            await self._note(findings, kill_event(record, setup.subject), crumbs)
        if ending.suspicious or (told and not ending.good):
            await self._count_end(findings, record, ending)

    async def _count_end(self, findings: Findings, record: LogRecord, ending: Ending) -> None:
        """Note a bad end, and tell if it makes a crash loop."""
        before = findings.own.ends if findings.ends is None else findings.ends
        findings.ends, loop = note_end(before, record.time_ns or record.observed_ns)
        if loop:
            await self._note(findings, loop_event(record, findings.ends, self._setup.subject, ending.program))

    async def _note(self, findings: Findings, event: ErrorEvent, crumbs: Callable[[], tuple[Crumb, ...]] = tuple) -> None:
        """Send an error, or fold it. Only what is told wants breadcrumbs, and of a storm nearly nothing is."""
        other = () if event.service == self._setup.subject.service else (event.service,)
        key = key_of((*event.group, *other))
        choice = findings.draft.note(key, event.time_ns, self._clock.wall_ns(), event.said)
        findings.counts[_OUTCOMES[choice]] += 1
        if choice in (Choice.SEND, Choice.FOLD_FIRST):
            event = replace(event, breadcrumbs=crumbs())
        if choice is Choice.FOLD_FIRST:
            findings.draft.keep(key, self._template(event))
        if choice is Choice.SEND:
            findings.payloads.append(await self._payload(findings.source, event))

    def _measured(self) -> Sample:
        return self._clock.wall_ns(), self._figures()

    def _template(self, event: ErrorEvent) -> bytes:
        """The event that a summary will be made of: it lies in the positions, so it must be small."""
        whole = Envelope({}, [Item("event", dump(self._encoded(event)))])
        return fit(whole, MAX_TEMPLATE).items[0].body

    def _encoded(self, event: ErrorEvent) -> dict[str, Value]:
        labels = self._labels(event.service)
        return encode_event(event, self._setup.scene, release=labels.get("release", ""), environment=labels.get("environment", ""))

    async def _payload(self, source: str, event: ErrorEvent) -> Payload:
        attached: Sequence[Attachment] = ()
        if not event.mechanism.handled or event.mechanism.own or event.level == "fatal":
            told_by_host = event.mechanism.own and source != CHILD
            attached = self._box.attachments("" if told_by_host else source, self._waiting.values(), self._measured())
        made = await self._maker.make(occurrences(self._encoded(event), 1, event.time_ns, event.time_ns))
        items = [Item("event", made), *(Item("attachment", one.body, _about(one)) for one in attached)]
        return self._envelope(items, event.event_id, event.service)

    def _envelope(self, items: Sequence[Item], event_id: str, service: str) -> Payload:
        body = make(items, service=service, event_id=event_id)
        if len(body) > MAX_EVENT:
            body = encode(fit(decode(body), MAX_EVENT))
        return Payload(Signal.SENTRY_ERROR, 1, body)

    # --- windows that are over -----------------------------------------------------------------------------------------

    async def _close(self, *, all_of_them: bool) -> None:
        for source, state in list(self._sources.items()):
            async with state.free_within(None if all_of_them else PATIENCE) as free:
                if free and state.storms is not None:
                    await self._close_one(source, state.storms, all_of_them=all_of_them)

    async def _close_one(self, source: str, storms: Storms, *, all_of_them: bool) -> None:
        with storms.begin() as draft:
            summaries = draft.close(self._clock.wall_ns(), all_of_them=all_of_them)
            payloads = [await self._summary(source, one) for one in summaries]
            lost = storms.overflow
            draft.overflow = -lost
            if report := self._report(sum(one.window.folded - 1 for one in summaries), lost):
                payloads.append(report)
            positions = draft.positions()
            if positions:
                with contextlib.suppress(SpoolError):  # nothing was stored: the next look does it
                    await self._spool.append(source, payloads, positions, {}, replayable=True)
                    draft.commit()

    async def _summary(self, source: str, summary: Summary) -> Payload:
        window = summary.window
        event: dict[str, Value] = orjson.loads(summary.event)
        number = identifier(source, summary.fingerprint, str(window.opened_ns))
        told = occurrences(event, window.folded, window.first_ns, window.last_ns, window.values)
        told |= {"event_id": number, "timestamp": timestamp(window.last_ns)}
        tags = told.get("tags")
        service = tags.get("service.name") if isinstance(tags, dict) else None
        return self._envelope([Item("event", await self._maker.make(told))], number, str(service or self._setup.subject.service))

    def _report(self, folded: int, dropped: int) -> Payload | None:
        """What no event of its own tells of."""
        if not folded and not dropped:
            return None
        item = client_report(self._clock.wall_ns(), {("sample_rate", "error"): folded, ("buffer_overflow", "error"): dropped})
        return payload(Signal.SENTRY_REPORT, item, service=self._setup.subject.service)


_PROCESS: Final = frozenset({EXIT, STARTED, OOM_KILLED})
_OUTCOMES: Final = {Choice.SEND: "sent", Choice.FOLD: "folded", Choice.FOLD_FIRST: "folded", Choice.DROP: "dropped"}


def _about(attachment: Attachment) -> dict[str, Value]:
    return {"filename": attachment.filename, "content_type": attachment.content_type, "attachment_type": "event.attachment"}


def _is_ours(run: Run | None) -> bool:
    return run is not None and run.holder == HOLDER


def _of_process(record: LogRecord) -> bool:
    """Whether a record tells of a process, and is ours: a workload can write anything, but not from there."""
    name = record.attributes.get("event.name")
    return name in _PROCESS and record.origin.key.startswith(("child:", "process:")) and "log.iostream" not in record.origin.attributes
