"""Progress of a request: the present step, for the message of a time-out, and the duration of each phase."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Phase = Literal["resolve", "connect", "tls", "processing", "transfer"]


@dataclass(slots=True)
class Phases:
    """Seconds of each phase, named as in blackbox_exporter's `probe_http_duration_seconds{phase}`; 0 if a kept connection made it unnecessary."""

    resolve: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    processing: float = 0.0
    """From the first byte of the request to the first byte of the answer."""
    transfer: float = 0.0
    """From there to the last byte of the answer."""


class Progress:
    """Written step by step, and read when the time is up or the request is done."""

    def __init__(self) -> None:
        self.phases = Phases()
        self.doing = "connecting"
        self.ip_version = 0
        """4 or 6 once connected."""

    @contextmanager
    def phase(self, name: Phase, doing: str) -> Iterator[None]:
        """Measure a phase, also one that fails. The durations of its parts add up."""
        self.doing = doing
        start = time.monotonic()
        try:
            yield
        finally:
            setattr(self.phases, name, getattr(self.phases, name) + time.monotonic() - start)
