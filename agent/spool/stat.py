"""Figures of the spool at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from agent.spool import destinations, ledger, paths, schema
from agent.spool.database import log_of
from agent.spool.values import Cursor, SpoolStat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.spool.file import SpoolFile
    from agent.spool.tables import Tables


def stat(file: SpoolFile) -> SpoolStat:
    """Return the figures of this moment."""
    tables, connection, path = file.tables, file.tables.connection, file.tables.db.path
    return SpoolStat(
        path=path,
        state=file.condition.state,
        reason=file.condition.reason,
        quota=file.session.limit.quota,
        used=tables.db.used(),
        file_size=paths.size(path),
        wal_size=paths.size(log_of(path)),
        ballast_size=file.home.ballast.size,
        rows=connection.execute("SELECT count(*) FROM rows INDEXED BY rows_by_signal").get,
        records=connection.execute("SELECT ifnull(sum(records), 0) FROM rows INDEXED BY rows_by_signal").get,
        oldest_ns=connection.execute("SELECT stored_ns FROM rows ORDER BY seq LIMIT 1").get,
        dead_letters=connection.execute("SELECT count(*) FROM dead_letters").get,
        cursors=tuple(_cursors(tables)),
        configured=destinations.configured(tables),
        orphans=destinations.orphans(tables),
        sqlite=apsw.sqlite_lib_version(),
        schema=schema.VERSION,
    )


def _cursors(tables: Tables) -> Iterator[Cursor]:
    pending = ledger.pending(tables.connection)
    for key, seq in sorted(tables.cursors.items()):
        yield Cursor(*key, seq, sum(records for line, records in pending.items() if line[1:] == key))
