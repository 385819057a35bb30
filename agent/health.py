"""Whether the agent is ready: one decision for `/readyz`, the status page and `outrider status`.

Ready means that the workload's records are stored. A destination that is away does not change that: a sidecar that is not ready takes its pod out
of service, and waiting logs must not do that. The state is then `degraded`, which fails `/readyz?strict=1` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Health(StrEnum):
    """The state of all parts together."""

    READY = "ready"
    DEGRADED = "degraded"
    NOT_READY = "not ready"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the agent that must work."""

    name: str
    works: bool
    reason: str = ""
    """Why not, in one sentence."""
    essential: bool = True
    """Whether no records are stored without it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state and its reasons, those of essential parts first."""

    health: Health
    reasons: tuple[str, ...] = ()

    def passes(self, *, strict: bool = False) -> bool:
        """Whether `/readyz` answers 200."""
        return self.health is Health.READY or (self.health is Health.DEGRADED and not strict)


def verdict(parts: Iterable[Part]) -> Verdict:
    """Decide: not ready if an essential part does not work, degraded if another one does not."""
    broken = sorted((part for part in parts if not part.works), key=lambda part: not part.essential)
    reasons = tuple(f"{part.name}: {part.reason or 'does not work'}" for part in broken)
    if not broken:
        return Verdict(Health.READY)
    return Verdict(Health.NOT_READY if broken[0].essential else Health.DEGRADED, reasons)
