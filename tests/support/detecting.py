"""Shared by the tests of the detector: a spool in memory, records, and what the intake does with a batch."""

from __future__ import annotations

import zlib

from agent.issues.envelope.format import decode
from agent.names import PROCESS_EXITED
from agent.record import LogRecord, Origin, Owner, Severity
from agent.testing.spool import MemorySpool
from tests.support.sentry import NOW_NS

TRACEBACK = b'Traceback (most recent call last):\n  File "/app/a.py", line 3, in f\n    g()\nKeyError: 7\n'
LABELS = {"release": "app@1", "environment": "test"}


class Spool(MemorySpool):
    """Keeps what is appended, so that it can be read."""

    @property
    def stored(self):
        """The detector's state, by source."""
        return self.kept[Owner.ISSUES]

    def add(self, row):
        """Keep a row as it was before it was compressed."""
        super().add(row._replace(body=zlib.decompress(row.body, wbits=31)))

    def items(self, type_):
        return [item.json() for row in self.rows for item in decode(row.body).items if item.type == type_]

    def attachments(self):
        return {
            item.headers["filename"]: item.body.decode()
            for row in self.rows
            for item in decode(row.body).items
            if item.type == "attachment"
        }


async def feed(issues, spool, records, source="app", *, store=True):
    """Process a batch as the intake does."""
    async with issues.detector.judge(source, records) as found:
        if store:
            await spool.append(source, found.payloads, {}, found.drops, replayable=True, state={Owner.ISSUES: found.positions})
            found.commit()
    return found


def plain(text, severity=Severity.INFO, offset=0, key="file:a", **attributes):
    """A record."""
    return LogRecord(NOW_NS, NOW_NS, severity, severity.name, text, attributes, Origin(key), offset)


def exited(**attributes):
    """The record of an exit."""
    return plain(
        "process ended",
        Severity.ERROR,
        key="child:7:exit",
        **{"event.name": PROCESS_EXITED, "process.executable.name": "app", **attributes},
    )
