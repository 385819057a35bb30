"""From an error to what the spool holds for Sentry: an event completed and scrubbed by sentry-sdk, with the black box, in an envelope that fits."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from agent.columns import unusual
from agent.event_names import CHILD
from agent.issues.envelope.format import Envelope, Item, decode, dump, encode, make
from agent.issues.envelope.items import client_report, identifier, logs, payload
from agent.issues.envelope.trim import MAX_EVENT, fit
from agent.issues.event.encode import encode_event, occurrences, timestamp
from agent.record import Payload, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.clock import Clock
    from agent.issues.event.error_event import Attachment, ErrorEvent
    from agent.issues.event.frames import Scene
    from agent.issues.folding.windows import Summary
    from agent.issues.recent.attachments import BlackBox
    from agent.record import LogRecord, Value

MAX_TEMPLATE: Final = 64 * 1024
"""Bytes of an event that is kept for a summary; a larger one is trimmed as far as that goes."""


class Making(Protocol):
    """What completes and scrubs events: sentry-sdk."""

    async def make(self, event: Mapping[str, Value]) -> bytes:
        """The event as JSON. The first one may take long, but does not hold the event loop."""

    def close(self) -> None:
        """Let go of what it holds."""


class EventPayloads:
    """Makes payloads of the errors of a service and its like."""

    def __init__(
        self,
        service: str,
        labels: Mapping[str, str],
        scene: Scene,
        *,
        maker: Making,
        box: BlackBox,
        clock: Clock,
        figures: Callable[[], Mapping[str, float]],
    ) -> None:
        """`labels`: release and environment of the service; `figures` reads what is measured of the workload at this moment."""
        self._service = service
        self._labels = labels
        self._scene = scene
        self._maker = maker
        self._box = box
        self._clock = clock
        self._figures = figures

    def sample(self) -> None:
        """Note for later what is measured, and what the workload's processes run."""
        self._box.sample(self._clock.wall_ns(), self._figures())
        self._scene.workload.look()

    def close(self) -> None:
        """Let go of the SDK's client."""
        self._maker.close()

    async def event(self, source: str, event: ErrorEvent) -> Payload:
        """An error that is sent by itself."""
        made = await self._maker.make(occurrences(self._encoded(event), 1, event.time_ns, event.time_ns))
        items = [Item("event", made), *(Item("attachment", one.body, _about(one)) for one in self._attachments(source, event))]
        return _envelope(items, event.event_id, event.service)

    def template(self, event: ErrorEvent) -> bytes:
        """The event that a summary will be made of: it lies in the positions, so it must be small."""
        whole = Envelope({}, [Item("event", dump(self._encoded(event)))])
        return fit(whole, MAX_TEMPLATE).items[0].body

    async def summary(self, source: str, summary: Summary) -> Payload:
        """Errors that were folded, as one event."""
        window = summary.window
        event: dict[str, Value] = orjson.loads(summary.event)
        number = identifier(source, summary.fingerprint, str(window.opened_ns))
        told = occurrences(event, window.folded, window.first_ns, window.last_ns, window.values)
        told |= {"event_id": number, "timestamp": timestamp(window.last_ns)}
        tags = told.get("tags")
        service = tags.get("service.name") if isinstance(tags, dict) else None
        return _envelope([Item("event", await self._maker.make(told))], number, str(service or self._service))

    def report(self, folded: int, dropped: int) -> list[Payload]:
        """The errors that no event of their own tells of, if there are any."""
        if not folded and not dropped:
            return []
        item = client_report(self._clock.wall_ns(), {("sample_rate", "error"): folded, ("buffer_overflow", "error"): dropped})
        return [payload(Signal.SENTRY_REPORT, item, service=self._service)]

    def logs(self, records: Sequence[LogRecord], least: int | None, service_of: Callable[[LogRecord], str]) -> list[Payload]:
        """Records from a SeverityNumber on as Sentry Logs, one payload for each service; None = none."""
        some = [] if least is None else [record for _, record in unusual(records, bytes(range(least))) if record.severity >= least]
        by_service: defaultdict[str, list[LogRecord]] = defaultdict(list)
        for record in some:
            by_service[service_of(record)].append(record)
        return [
            payload(Signal.SENTRY_LOG, logs(group, labels=self._labels_of(service)), service=service, records=len(group))
            for service, group in by_service.items()
        ]

    def _labels_of(self, service: str) -> Mapping[str, str]:
        """Release and environment; our release is no other service's."""
        return self._labels if service == self._service else {key: value for key, value in self._labels.items() if key != "release"}

    def _encoded(self, event: ErrorEvent) -> dict[str, Value]:
        labels = self._labels_of(event.service)
        return encode_event(event, self._scene, release=labels.get("release", ""), environment=labels.get("environment", ""))

    def _attachments(self, source: str, event: ErrorEvent) -> Sequence[Attachment]:
        if event.mechanism.handled and not event.mechanism.own and event.level != "fatal":
            return ()
        by_host = event.mechanism.own and source != CHILD
        return self._box.attachments("" if by_host else source, (self._clock.wall_ns(), self._figures()))


def _envelope(items: Sequence[Item], event_id: str, service: str) -> Payload:
    body = make(items, service=service, event_id=event_id)
    if len(body) > MAX_EVENT:
        body = encode(fit(decode(body), MAX_EVENT))
    return Payload(Signal.SENTRY_ERROR, 1, body)


def _about(attachment: Attachment) -> dict[str, Value]:
    return {"filename": attachment.filename, "content_type": attachment.content_type, "attachment_type": "event.attachment"}
