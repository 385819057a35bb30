"""Finds errors among the records of all sources and makes Sentry envelopes of them, committed with the records they were found in.

    records ──▶ errors? ──▶ same as before? ──▶ event ──▶ sentry-sdk ──▶ envelope ─┐
                               └──▶ folded: a count in the source's positions ─────┴─▶ one commit with the records

A draft of the new state becomes the state only when the intake says that it is stored. What was folded is told when its window is over:
`tick` looks for such windows, `finish` ends all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from agent.blackbox import BlackBox
from agent.encode.sentry_client import EventMaker
from agent.encode.sentry_envelope import Item, decode, dump, encode, json_item, make
from agent.encode.sentry_event import encode_event, occurrences, timestamp
from agent.encode.sentry_frames import NoSources, Scene
from agent.encode.sentry_source import SourceFiles
from agent.encode.sentry_trim import MAX_EVENT, fit
from agent.errors import SpoolError
from agent.intake import Detected
from agent.metrics import Kind, Metric
from agent.parse.patterns import compile_pattern
from agent.polling import every
from agent.record import Payload, Severity, Signal
from agent.verdict.errors import EXIT, Rules, crumb_of, environment_of, key_of, release_of, resource_subject, to_event
from agent.verdict.exits import exit_event, read_ending, told_already
from agent.verdict.storms import PREFIX, Budget, Choice, Limits, Storms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from agent.clock import Clock
    from agent.config.settings import Settings
    from agent.error_event import Attachment, Crumb, ErrorEvent
    from agent.metrics import Metrics, Observation
    from agent.parse.exceptions import FatalError
    from agent.parse.patterns import Compiled
    from agent.pipeline import Host
    from agent.record import LogRecord, Value
    from agent.verdict.errors import Subject
    from agent.verdict.storms import Draft, Summary

TICK: Final = 5.0
"""Seconds between two looks for windows that are over."""
MAX_ORIGINS: Final = 64
"""Origins whose last records are remembered."""
CHILD: Final = "child"
"""The source that is the command of `exec`."""
CRUMBS: Final = 50
"""Breadcrumbs of an event."""

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
    release: str = ""
    environment: str = ""
    crumbs: int = CRUMBS
    known: tuple[str, ...] = ()
    """Sources that may have left windows open in an earlier run."""


@dataclass(slots=True)
class _Source:
    """What is known of one source."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    storms: Storms | None = None
    uncaught: bool = False
    """Whether the last traceback on its stderr was that of an exception nobody caught."""
    fatal: FatalError | None = None
    """The interpreter's death that its stderr told of."""


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
        figures: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """`figures` reads what is measured of the workload at this moment."""
        self._setup = setup
        self._maker = maker
        self._box = box
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._figures = figures
        self._budget = Budget(setup.limits)
        self._sources: defaultdict[str, _Source] = defaultdict(_Source)
        self._crumbs = Crumbs(setup.crumbs)

    @contextlib.asynccontextmanager
    async def judge(self, source: str, records: Sequence[LogRecord]) -> AsyncIterator[Detected]:
        """Look at redacted records; one batch of a source at a time if there are errors in it."""
        concerns = self._setup.rules.concerns
        errors = [index for index, record in enumerate(records) if concerns(record) or _is_exit(record)]
        before = self._crumbs.take(source, records)
        self._box.remember(source, records)
        if not errors:
            yield Detected()
            return
        state = self._sources[source]
        async with state.lock:
            storms = await self._restored(source, state)
            yield self._detect(source, state, storms.begin(), [(records[index], before.of(index)) for index in errors])

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
        """Tell of the windows that are over; take a sample for the black box."""
        self._sample()
        await self._close(all_of_them=False)

    async def finish(self) -> None:
        """Tell of all that was folded."""
        await self._close(all_of_them=True)

    def _sample(self) -> None:
        self._box.sample(self._clock.wall_ns(), self._figures())

    def close(self) -> None:
        """Let go of the SDK's client."""
        self._maker.close()

    async def _restored(self, source: str, state: _Source) -> Storms:
        if state.storms is None:
            stored = await self._spool.positions(source)
            ours = {key: value for key, value in stored.items() if key.startswith(PREFIX)}
            state.storms = Storms(self._setup.limits, self._budget, ours)
        return state.storms

    # --- records ------------------------------------------------------------------------------------------------------

    def _detect(self, source: str, state: _Source, draft: Draft, errors: Sequence[tuple[LogRecord, LazyCrumbs]]) -> Detected:
        payloads, counts = [], defaultdict[Choice, int](int)
        for record, crumbs in errors:
            event = self._event(state, record, crumbs)
            if event is not None:
                choice = self._note(source, draft, event)
                counts[choice] += 1
                if choice is Choice.SEND:
                    payloads.append(self._payload(source, event))

        def commit() -> None:
            draft.commit()
            for choice, count in counts.items():
                self._metrics.add(FOUND, count, {"source": source, "outcome": _OUTCOMES[choice]})

        return Detected(payloads, draft.positions(), {}, commit)

    def _event(self, state: _Source, record: LogRecord, crumbs: LazyCrumbs) -> ErrorEvent | None:
        """The error a record tells of; None if another record tells of the same one."""
        if _is_exit(record):
            return self._exit(state, record, crumbs)
        setup = self._setup
        event = to_event(record, setup.subject, setup.rules, crumbs())
        state.uncaught = not event.mechanism.handled and event.fatal is None
        if _is_child(record) and event.fatal is not None and not event.fatal.reason.startswith("Timeout"):
            state.fatal = event.fatal  # the process is dying: its end will tell of it
            return None
        return event

    def _exit(self, state: _Source, record: LogRecord, crumbs: LazyCrumbs) -> ErrorEvent | None:
        setup, ending = self._setup, read_ending(record)
        uncaught, fatal = state.uncaught, state.fatal
        state.uncaught, state.fatal = False, None
        if ending.good or told_already(ending, uncaught=uncaught):
            return None
        return exit_event(record, ending, setup.subject, fatal=fatal, crumbs=crumbs(), in_app=setup.rules.in_app)

    def _note(self, source: str, draft: Draft, event: ErrorEvent) -> Choice:
        key = key_of(event.fingerprint)
        choice = draft.note(key, event.time_ns, self._clock.wall_ns())
        if choice is Choice.FOLD_FIRST:
            draft.keep(key, dump(self._encoded(event)))
        del source
        return choice

    def _encoded(self, event: ErrorEvent) -> dict[str, Value]:
        setup = self._setup
        return encode_event(event, setup.scene, release=setup.release, environment=setup.environment)

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
        event_id = key_of((source, summary.fingerprint, str(window.opened_ns), "1")) + key_of(
            (source, summary.fingerprint, str(window.opened_ns), "2")
        )
        told = occurrences(event, window.folded, window.first_ns, window.last_ns) | {
            "event_id": event_id,
            "timestamp": timestamp(window.last_ns),
        }
        return self._envelope([Item("event", self._maker.make(told))], event_id)

    def _report(self, folded: int, dropped: int) -> Payload | None:
        """What no event of its own tells of."""
        reasons = {"sample_rate": folded, "buffer_overflow": dropped}
        discarded: list[Value] = [{"reason": reason, "category": "error", "quantity": count} for reason, count in reasons.items() if count]
        if not discarded:
            return None
        body: dict[str, Value] = {"timestamp": timestamp(self._clock.wall_ns()), "discarded_events": discarded}
        return Payload(Signal.SENTRY_REPORT, 1, make([json_item("client_report", body)], service=self._setup.subject.service))


def build_detector(settings: Settings, host: Host, clean: Callable[[str], str]) -> Detector:
    """The detector of a configuration; `clean` takes secrets out of source lines."""
    resource, errors = settings.service.resource(), settings.errors
    sources = SourceFiles(clean) if errors.source else NoSources()
    window_ns = round(errors.window * 1e9)
    setup = Setup(
        Rules(LEVELS[errors.level], _any_of(errors.patterns), errors.probes, errors.in_app),
        Limits(window_ns, errors.per_fingerprint, errors.total, errors.kinds),
        resource_subject(resource, socket.gethostname()),
        Scene(errors.in_app, sources, errors.locals),
        release_of(resource),
        environment_of(resource),
        errors.breadcrumbs,
        (CHILD, *(entry.name for entry in (*settings.sources, *settings.probes))),
    )
    return Detector(
        setup,
        maker=EventMaker(),
        box=BlackBox(),
        spool=host.spool,
        clock=host.clock,
        metrics=host.metrics,
        figures=_figures(settings, host.metrics),
    )


def _figures(settings: Settings, metrics: Metrics) -> Callable[[], Mapping[str, float]]:
    """What reads the figures that the samplers have published; that of a wrapped command has the name of its type."""
    names = {*(entry.name for entry in settings.samplers), "process_tree"}

    def read() -> Mapping[str, float]:
        return {_series(one): one.value for name in sorted(names) for one in metrics.published(name)}

    return read


def _series(one: Observation) -> str:
    labels = ",".join(f"{key}={value}" for key, value in sorted(one.attributes.items()) if key not in ("component", "target"))
    return f"{one.metric.name}{{{labels}}}" if labels else one.metric.name


def _any_of(patterns: Sequence[str]) -> Compiled | None:
    return compile_pattern("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


LEVELS: Final = {
    "debug": Severity.DEBUG,
    "info": Severity.INFO,
    "warning": Severity.WARN,
    "error": Severity.ERROR,
    "fatal": Severity.FATAL,
}
_OUTCOMES: Final = {Choice.SEND: "sent", Choice.FOLD: "folded", Choice.FOLD_FIRST: "folded", Choice.DROP: "dropped"}


def _about(attachment: Attachment) -> dict[str, Value]:
    return {"filename": attachment.filename, "content_type": attachment.content_type, "attachment_type": "event.attachment"}


def _is_exit(record: LogRecord) -> bool:
    return record.attributes.get("event.name") == EXIT


def _is_child(record: LogRecord) -> bool:
    return record.origin.key.startswith("child:")


def _trail(source: str, record: LogRecord) -> str:
    """What a record is a crumb for: its file; of the wrapped command all that it says and how it ends."""
    return source if _is_child(record) else record.origin.key


class Crumbs:
    """The last records of each trail, as breadcrumbs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, deque[Crumb]] = OrderedDict()

    def take(self, source: str, records: Sequence[LogRecord]) -> Batch:
        """Remember the last of a batch's records; return what one can ask for those before each of them."""
        last: dict[str, list[LogRecord]] = {}
        for record in records[-4 * self._limit :] if self._limit else ():
            last.setdefault(_trail(source, record), []).append(record)
        before = {key: tuple(self._kept.get(key, ())) for key in last}
        for key, some in last.items():
            self._kept.setdefault(key, deque(maxlen=self._limit)).extend(crumb_of(record) for record in some[-self._limit :])
            self._kept.move_to_end(key)
        while len(self._kept) > MAX_ORIGINS:
            self._kept.popitem(last=False)
        return Batch(source, records, before, self._limit)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, and what went before it."""

    source: str
    records: Sequence[LogRecord]
    before: Mapping[str, tuple[Crumb, ...]]
    limit: int

    def of(self, index: int) -> LazyCrumbs:
        """What went before a record."""
        return LazyCrumbs(self, index)


@dataclass(frozen=True, slots=True)
class LazyCrumbs:
    """Breadcrumbs of one record, made when they are wanted: most errors of a storm are folded and want none."""

    batch: Batch
    index: int

    def __call__(self) -> tuple[Crumb, ...]:
        """The records of the same trail before this one, the oldest first."""
        batch = self.batch
        key = _trail(batch.source, batch.records[self.index])
        if not batch.limit:
            return ()
        near = batch.records[max(0, self.index - 4 * batch.limit) : self.index]
        own = tuple(crumb_of(record) for record in near if _trail(batch.source, record) == key)
        return (*batch.before.get(key, ()), *own)[-batch.limit :]
