"""sentry-sdk for another process: it completes and scrubs events, and returns them instead of sending them.

Importing it costs 10 MB and more, so it is imported for the first error. Nothing of our own process gets into an event: no integrations, no
scope, no release of our directory, not our host name.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final, cast

import orjson
import sentry_sdk
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentry_sdk.envelope import Envelope
    from sentry_sdk.types import Event

    from agent.record import Value

_NOWHERE: Final = "http://outrider@localhost/1"
"""The SDK makes no events without a DSN; nothing is ever sent there."""
_OURS: Final = ("release", "environment", "dist", "server_name")
"""Keys that the SDK would fill in from our own process."""


class _Catch(Transport):
    """Keeps the envelope instead of sending it."""

    def __init__(self) -> None:
        super().__init__()
        self.caught: Envelope | None = None

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep it."""
        self.caught = envelope


class SdkCompleter:
    """Makes the bytes of an event's envelope item."""

    def __init__(self) -> None:
        self._transport = _Catch()
        self._client = sentry_sdk.Client(
            _NOWHERE,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[],
            attach_stacktrace=False,
            auto_session_tracking=False,
            include_local_variables=False,
            send_client_reports=False,
            project_root="/nonexistent",
            release="",
            environment="",
            server_name="",
            spotlight=False,
            enable_backpressure_handling=False,
            event_scrubber=EventScrubber(recursive=True),
            transport=self._transport,
        )

    def complete(self, event: Mapping[str, Value]) -> bytes:
        """The event as JSON, completed and scrubbed; the argument stays as it is."""
        self._transport.caught = None
        self._client.capture_event(cast("Event", copy.deepcopy(dict(event))))
        made = self._transport.caught.get_event() if self._transport.caught else None
        return orjson.dumps(_without_ours(cast("dict[str, Value]", made or dict(event)), event))

    def close(self) -> None:
        """Wait for nothing: nothing is sent."""
        self._client.close(timeout=0)


def _without_ours(made: dict[str, Value], given: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in made.items() if key not in _OURS or key in given}
