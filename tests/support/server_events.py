"""Where the events of an HTTP server go in a test."""

from __future__ import annotations

import pytest

from agent.net.server_connection import RequestRefused


class ServerEvents:
    """Keeps what was refused and which handlers raised."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.broken: list[tuple[str, str]] = []

    def emit(self, event) -> None:
        """See Telemetry."""
        if isinstance(event, RequestRefused):
            self.refused.append(event.reason)
        else:
            self.broken.append((event.component, event.error))


class NoneBroken(ServerEvents):
    """Fails the test when a handler raises."""

    def emit(self, event) -> None:
        """See Telemetry."""
        super().emit(event)
        if self.broken:
            pytest.fail(str(self.broken))
