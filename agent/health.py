"""Whether the agent is ready: a decision from facts, so that `/readyz`, the status page and `outrider status` say the same.

Ready means: what the workload says gets into the spool. A destination that is away does not change that, and must not: where the agent is a
sidecar its readiness is its pod's, and a workload is not taken out of service because its logs wait. It is said, as `degraded`, and whoever
wants it to count asks for `/readyz?strict=1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Health(StrEnum):
    """The sum of all parts."""

    READY = "ready"
    DEGRADED = "degraded"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that must work."""

    name: str
    works: bool
    reason: str = ""
    """Why not, in one sentence."""
    essential: bool = True
    """Whether records are not taken in without it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision and its reasons, the essential ones first."""

    health: Health
    reasons: tuple[str, ...] = ()

    def passes(self, *, strict: bool = False) -> bool:
        """Whether `/readyz` answers 200."""
        return self.health is Health.READY or (self.health is Health.DEGRADED and not strict)


def verdict(parts: Iterable[Part]) -> Verdict:
    """Not ready if an essential part does not work, degraded if another does not."""
    broken = sorted((part for part in parts if not part.works), key=lambda part: not part.essential)
    reasons = tuple(f"{part.name}: {part.reason or 'does not work'}" for part in broken)
    if not broken:
        return Verdict(Health.READY)
    return Verdict(Health.NOT_READY if broken[0].essential else Health.DEGRADED, reasons)
