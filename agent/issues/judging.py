"""What one record leads to: read, folded or not, made a payload. What it changes is noted in the batch's findings, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent.errors import describe
from agent.event_names import PROCESS_EXITED, PROCESS_OOM_KILLED, PROCESS_STARTED
from agent.issues.folding.windows import Choice
from agent.issues.reading.errors import to_event
from agent.issues.reading.exit_causes import is_death
from agent.issues.reading.exits import exit_event, kill_event, loop_event, note_end, read_ending, told_already
from agent.issues.reading.grouping import key_of
from agent.issues.recent.breadcrumbs import is_child
from agent.issues.runs.keeper import CHILD_RUN
from agent.issues.runs.run import RUN

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.clock import Clock
    from agent.issues.changes import Findings
    from agent.issues.event.error_event import Crumb, ErrorEvent
    from agent.issues.payloads import EventPayloads
    from agent.issues.reading.errors import Rules, Subject
    from agent.issues.reading.exits import Ending
    from agent.issues.runs.keeper import RunKeeper
    from agent.record import LogRecord

    Crumbs = Callable[[], tuple[Crumb, ...]]

_PROCESS: Final = frozenset({PROCESS_EXITED, PROCESS_STARTED, PROCESS_OOM_KILLED})
_OUTCOMES: Final = {Choice.SEND: "sent", Choice.FOLD: "folded", Choice.FOLD_FIRST: "folded", Choice.DROP: "dropped"}


class Judge:
    """Takes records one by one."""

    def __init__(self, rules: Rules, subject: Subject, runs: RunKeeper, payloads: EventPayloads, clock: Clock) -> None:
        self._rules = rules
        self._subject = subject
        self._runs = runs
        self._payloads = payloads
        self._clock = clock

    async def take(self, findings: Findings, record: LogRecord, crumbs: Crumbs) -> None:
        """Make of a record what it tells of. Whatever is wrong with one, it is stored as a log record, and the others are looked at."""
        try:
            name = record.attributes.get("event.name") if is_of_process(record) else None
            if name == PROCESS_EXITED:
                await self._take_exit(findings, record, crumbs)
            elif name == PROCESS_STARTED:
                self._runs.begin(findings, RUN + record.origin.key, record.origin.key, record)
            elif name == PROCESS_OOM_KILLED:
                await self._note(findings, kill_event(record, self._subject), crumbs)
            else:
                await self._take_error(findings, record, crumbs)
        except Exception as error:  # noqa: BLE001 - the host: a record that breaks us must not stop its source for ever
            findings.counts["failed"] += 1
            findings.failures.append(describe(error))

    async def _take_error(self, findings: Findings, record: LogRecord, crumbs: Crumbs) -> None:
        event = to_event(record, self._subject, self._rules)
        findings.hear(record, event)
        if is_child(record.origin) and is_death(event):
            findings.keep_for_the_end(event)
        else:
            await self._note(findings, event, crumbs)

    async def _take_exit(self, findings: Findings, record: LogRecord, crumbs: Crumbs) -> None:
        ending, now_ns = read_ending(record), record.time_ns or record.observed_ns
        place = CHILD_RUN if is_child(record.origin) else RUN + record.origin.key
        words = findings.last_words()
        told = told_already(ending, uncaught=words.uncaught(now_ns), fatal=words.died(now_ns))
        run = findings.run(place)
        if run is not None:
            findings.runs[place] = None
            findings.payloads += run.end(ending, now_ns, uncaught=told)
        if ending.bad and not told:
            fatal = words.untold.fatal if words.untold else None
            await self._note(findings, exit_event(record, ending, self._subject, fatal=fatal, in_app=self._rules.in_app), crumbs)
        elif words.untold is not None:  # it was another interpreter's, a worker's say
            await self._note(findings, words.untold, crumbs)
        if ending.killed_beside:
            await self._note(findings, kill_event(record, self._subject), crumbs)
        if ending.suspicious or (told and not ending.good):
            await self._count_end(findings, record, ending)

    async def _count_end(self, findings: Findings, record: LogRecord, ending: Ending) -> None:
        """Note a bad end, and tell if it makes a crash loop."""
        before = findings.own.ends if findings.ends is None else findings.ends
        findings.ends, loop = note_end(before, record.time_ns or record.observed_ns)
        if loop:
            await self._note(findings, loop_event(record, findings.ends, self._subject, ending.program), tuple)

    async def _note(self, findings: Findings, event: ErrorEvent, crumbs: Crumbs) -> None:
        """Send an error, or fold it. Only what is told wants breadcrumbs, and of a storm nearly nothing is."""
        other = () if event.service == self._subject.service else (event.service,)
        key = key_of((*event.group, *other))
        choice = findings.draft.note(key, event.time_ns, self._clock.wall_ns(), event.said)
        findings.counts[_OUTCOMES[choice]] += 1
        if choice in (Choice.SEND, Choice.FOLD_FIRST):
            event = replace(event, breadcrumbs=crumbs())
        if choice is Choice.FOLD_FIRST:
            findings.draft.keep(key, self._payloads.template(event))
        if choice is Choice.SEND:
            findings.payloads.append(await self._payloads.event(findings.source, event))


def is_end(record: LogRecord) -> bool:
    """Whether a record tells of the end of a process."""
    return record.attributes.get("event.name") == PROCESS_EXITED and is_of_process(record)


def is_of_process(record: LogRecord) -> bool:
    """Whether a record tells of a process, and is ours: a workload can write anything, but not from there."""
    name = record.attributes.get("event.name")
    return name in _PROCESS and record.origin.key.startswith(("child:", "process:")) and "log.iostream" not in record.origin.attributes
