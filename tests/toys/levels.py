"""Counts the stored log records by severity: a sampler that looks at what is stored, and makes no record for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Final

from agent.columns import severities
from agent.component import ComponentConfig, Context
from agent.encode.batch_logs import log_records_of
from agent.metrics import Kind, Metric, Observation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.record import Batch

SEEN: Final = Metric("levels.records", Kind.COUNTER, "{record}", "Log records that are stored, by severity.")


class LevelsConfig(ComponentConfig):
    """No options."""


class Levels:
    """The sampler, and the tap."""

    Config: ClassVar[type[ComponentConfig]] = LevelsConfig

    def __init__(self, config: LevelsConfig, context: Context) -> None:
        self._config, self._context = config, context
        self._seen: Counter[tuple[str, int]] = Counter()

    def stored(self, source: str, batch: Batch) -> None:
        """Count a batch."""
        for severity, count in severities(log_records_of(source, batch)).items():
            self._seen[source, severity] += count

    def sample(self) -> Sequence[Observation]:
        """The counts since the start; that of UNSPECIFIED is there from zero on."""
        counts = self._seen or {("", 0): 0}
        return [Observation(SEEN, count, {"source": source, "severity": str(severity)}) for (source, severity), count in counts.items()]

    async def close(self) -> None:
        """Nothing is held."""
