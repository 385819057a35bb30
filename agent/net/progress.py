"""How far a request has come: what is being done, for the message of a time-out, and how long each phase took."""

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
    """Seconds of each phase, named as blackbox_exporter's `probe_http_duration_seconds{phase}`; 0 where a kept connection saved it."""

    resolve: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    processing: float = 0.0
    """From the request's first byte out to the answer's first byte in."""
    transfer: float = 0.0
    """From there to the answer's last byte."""


class Progress:
    """Written by those who do the work, read by who waits for it."""

    def __init__(self) -> None:
        self.phases = Phases()
        self.doing = "connecting"
        self.ip_version = 0
        """4 or 6 once connected."""

    @contextmanager
    def phase(self, name: Phase, doing: str) -> Iterator[None]:
        """Measure a phase, also one that fails or that is done in several parts."""
        self.doing = doing
        start = time.monotonic()
        try:
            yield
        finally:
            setattr(self.phases, name, getattr(self.phases, name) + time.monotonic() - start)
