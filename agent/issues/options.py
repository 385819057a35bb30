"""Everything about errors that is configured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.issues.event.frames import EncodeOptions
from agent.issues.reading.rules import Rules
from agent.issues.windows import FoldingLimits

if TYPE_CHECKING:
    from agent.issues.reading.subject import Subject
    from agent.issues.runs.run import Reporting


@dataclass(frozen=True, slots=True)
class IssueOptions:
    """Everything about errors that is configured."""

    subject: Subject
    reporting: Reporting
    rules: Rules = field(default_factory=Rules)
    limits: FoldingLimits = field(default_factory=FoldingLimits)
    encoding: EncodeOptions = field(default_factory=EncodeOptions)
    breadcrumbs: int = 50
    """Breadcrumbs of an event."""
    logs_from: int | None = None
    """Records from this SeverityNumber on go to Sentry Logs; None = none."""
    sources: tuple[str, ...] = ()
    """Sources that may have left windows open in an earlier run."""
