"""From an error to the payload that the spool stores for Sentry: an event completed and scrubbed by sentry-sdk, with attachments, in an envelope."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import orjson

from agent.columns import unusual
from agent.issues.envelope.format import Envelope, EnvelopeItem, decode, dump, encode, make, timestamp
from agent.issues.envelope.items import client_report, identifier, logs, payload
from agent.issues.envelope.trim import MAX_EVENT, fit
from agent.issues.event.encode import encode_event, with_occurrences
from agent.names import CHILD, SERVICE_NAME
from agent.record import Payload, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.clock import Clock
    from agent.issues.event.completer import Completer
    from agent.issues.event.error_event import Attachment, ErrorEvent
    from agent.issues.options import IssueOptions
    from agent.issues.recent.activity import RecentActivity
    from agent.issues.windows import Summary
    from agent.record import LogRecord, Value

MAX_TEMPLATE: Final = 64 * 1024
"""Bytes of an event that is kept for a summary; a larger one is trimmed as far as possible."""


class EventPayloads:
    """Makes the payloads of a service."""

    def __init__(self, options: IssueOptions, completer: Completer, activity: RecentActivity, clock: Clock) -> None:
        self.service = options.subject.service
        self._options = options
        self._labels = options.reporting.labels
        self._completer = completer
        self._activity = activity
        self._clock = clock

    def sample(self) -> None:
        """Keep a sample of the workload's figures, and what its processes run."""
        self._activity.sample()
        self._options.encoding.workload.look()

    def close(self) -> None:
        """Let go of the SDK's client."""
        self._completer.close()

    async def event(self, source: str, event: ErrorEvent) -> Payload:
        """An error that is sent by itself."""
        made = await self._completer.complete(with_occurrences(self._encoded(event), 1, event.time_ns, event.time_ns))
        items = [
            EnvelopeItem("event", made),
            *(EnvelopeItem("attachment", one.body, _headers(one)) for one in self._attachments(source, event)),
        ]
        return _fitting(items, event.event_id, event.service)

    def template(self, event: ErrorEvent) -> bytes:
        """The event that a summary will be made of: it is stored in the positions, so it must be small."""
        whole = Envelope({}, [EnvelopeItem("event", dump(self._encoded(event)))])
        return fit(whole, MAX_TEMPLATE).items[0].body

    async def summary(self, source: str, summary: Summary) -> Payload:
        """Errors that were folded, as one event."""
        window = summary.window
        number = identifier(source, summary.key, str(window.opened_ns))
        event = with_occurrences(orjson.loads(summary.event), window.folded, window.first_ns, window.last_ns, window.values)
        event |= {"event_id": number, "timestamp": timestamp(window.last_ns)}
        tags = event.get("tags")
        service = tags.get(SERVICE_NAME) if isinstance(tags, dict) else None
        return _fitting([EnvelopeItem("event", await self._completer.complete(event))], number, str(service or self.service))

    def report(self, folded: int, dropped: int) -> list[Payload]:
        """A client report of the errors that have no event of their own, if there are any."""
        if not folded and not dropped:
            return []
        item = client_report(self._clock.wall_ns(), {("sample_rate", "error"): folded, ("buffer_overflow", "error"): dropped})
        return [payload(Signal.SENTRY_REPORT, item, service=self.service)]

    def logs(self, records: Sequence[LogRecord]) -> list[Payload]:
        """Records as Sentry Logs, one payload for each service."""
        least = self._options.logs_from
        some = [] if least is None else [record for _, record in unusual(records, bytes(range(least))) if record.severity >= least]
        by_service: defaultdict[str, list[LogRecord]] = defaultdict(list)
        for record in some:
            by_service[self._options.subject.service_of(record)].append(record)
        return [
            payload(Signal.SENTRY_LOG, logs(group, labels=self._labels_of(service)), service=service, records=len(group))
            for service, group in by_service.items()
        ]

    def _labels_of(self, service: str) -> Mapping[str, str]:
        """Release and environment; the release is not that of another service."""
        return self._labels if service == self.service else {key: value for key, value in self._labels.items() if key != "release"}

    def _encoded(self, event: ErrorEvent) -> dict[str, Value]:
        labels = self._labels_of(event.service)
        return encode_event(event, self._options.encoding, release=labels.get("release", ""), environment=labels.get("environment", ""))

    def _attachments(self, source: str, event: ErrorEvent) -> Sequence[Attachment]:
        """The recent activity, for an error that ends something; of all sources where the agent itself found the error."""
        if event.mechanism.handled and not event.mechanism.own and event.level != "fatal":
            return ()
        by_host = event.mechanism.own and source != CHILD
        return self._activity.attachments("" if by_host else source)


def _fitting(items: Sequence[EnvelopeItem], event_id: str, service: str) -> Payload:
    body = make(items, service=service, event_id=event_id)
    if len(body) > MAX_EVENT:
        body = encode(fit(decode(body), MAX_EVENT))
    return Payload(Signal.SENTRY_ERROR, 1, body)


def _headers(attachment: Attachment) -> dict[str, Value]:
    return {"filename": attachment.filename, "content_type": attachment.content_type, "attachment_type": "event.attachment"}
