"""The log records of a batch, in whatever form they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.columns import Records
from agent.record import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.record import Batch, LogRecord


def log_records_of(source: str, batch: Batch) -> Sequence[LogRecord]:
    """All log records of a batch, those of its requests behind the others; each is made when it is read.

    `source` is the key of the origin of those that came encoded. Their severities are known without making one (`columns.severities`).
    """
    if all(payload.signal is not Signal.LOGS for payload in batch.payloads):
        return batch.records
    from agent.encode.otlp_requests import log_records  # noqa: PLC0415 - its protobuf classes cost memory that few sources need

    return Records(batch.records) + log_records(batch.payloads, source)
