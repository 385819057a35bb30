"""R22: bugs that a careful programmer makes, each put into the real agent. What judges the agent must see every one of them.

Each is what a review would let pass: everything works, until something dies at the wrong moment or a server answers otherwise than usual.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import RetryableError, SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable


def position_before_data() -> None:
    """The position is committed first, the rows in a transaction of their own."""
    _split_appends(positions_first=True)


def data_before_position() -> None:
    """The rows are committed first, the position in a transaction of its own."""
    _split_appends(positions_first=False)


def _split_appends(*, positions_first: bool) -> None:
    from agent.spool.spool import Spool

    append = Spool.append

    async def split(self, source, payloads, positions, drops, **rest):
        if not payloads:
            return await append(self, source, payloads, positions, drops, **rest)
        first, second = ((), positions), (payloads, {})
        if not positions_first:
            first, second = (payloads, {}), ((), positions)
        await append(self, source, *first, {}, **rest)
        return await append(self, source, *second, drops, **rest)

    Spool.append = split


def ack_before_commit() -> None:
    """A batch is acknowledged when it is handed over, and stored a little later; the result is not checked."""
    from agent.host.intake import Intake

    emit, under_way = Intake.emit, set()

    async def store(self, batch):
        with contextlib.suppress(SpoolError):
            await emit(self, batch)

    async def acknowledge(self, batch):
        task = asyncio.ensure_future(store(self, batch))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(0)

    Intake.emit = acknowledge


def memory_ahead_of_the_store() -> None:
    """After a failed commit the source goes on from what it remembers, not from what is stored."""
    from agent.sources.log_files import LogFiles

    run = LogFiles.run

    async def go_on(self, emit):
        async def forgiving(batch):
            with contextlib.suppress(SpoolError):
                await emit(batch)

        await run(self, forgiving)

    LogFiles.run = go_on


def partial_success_retried() -> None:
    """A request of which some records were refused is sent again."""
    from agent.exporters import otlp_http

    settle = otlp_http.settle

    def again(answer):
        if answer.rejected:
            raise RetryableError("some records were refused")
        return settle(answer)

    otlp_http.settle = again


def cursor_before_answer() -> None:
    """The cursor moves when the row is handed to the exporter."""
    from agent.host.delivery import Sender

    deliver = Sender._deliver

    async def settle_first(self, row):
        await self._spool.settle(self._destination, row, sent=row.records)
        await deliver(self, row)

    Sender._deliver = settle_first


def row_deleted_when_taken() -> None:
    """A row leaves the spool when it is taken out to be sent."""
    from agent.spool import rows
    from agent.spool.tables import Tables

    next_row = Tables.next_row

    def take(self, destination, signal):
        row = next_row(self, destination, signal)
        if row is not None:
            self.write([lambda tables: rows.delete(tables.connection, row.seq)])
        return row

    Tables.next_row = take


def position_behind_an_incomplete_line() -> None:
    """The position is where reading stopped, not where the last whole line ends."""
    from agent.tail.content import Content

    position = Content.position

    def too_far(self, offset, parser, reader):
        return position(self, max(offset, self.seen) if offset == self.offset else offset, parser, reader)

    Content.position = too_far


def retry_with_other_bytes() -> None:
    """The request is made again for each attempt, with the time of that attempt in it."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from agent.exporters.otlp_http import OtlpHttp
    from agent.record import Signal

    export = OtlpHttp.export

    async def afresh(self, row):
        if row.signal is Signal.LOGS:
            request = ExportLogsServiceRequest.FromString(zlib.decompress(row.body, wbits=31))
            request.resource_logs[0].scope_logs[0].log_records[0].observed_time_unix_nano = time.time_ns()
            row = row._replace(body=zlib.compress(request.SerializeToString(), wbits=31))
        return await export(self, row)

    OtlpHttp.export = afresh


def rotated_file_not_read_to_its_end() -> None:
    """After a rotation only the new file is read."""
    from agent.tail.reading import Reading

    read = Reading._read

    def only_live(self, stream, room, most):
        if stream.is_rotated:
            stream.more = False
            return None
        return read(self, stream, room, most)

    Reading._read = only_live


def copy_read_again() -> None:
    """The copy that a rotation makes is taken for a new file."""
    from agent.tail.succession import Succession

    def begin_anew(self, claim, reader) -> None:
        self._table.forget(claim.content)
        self._new.begin(claim.candidate, from_end=False)

    Succession._take_over = begin_anew


def eviction_not_counted() -> None:
    """Rows that are evicted for newer ones are not counted."""
    _forget_losses("evicted")


def dead_letter_not_counted() -> None:
    """Rows that a destination refuses for good are not counted."""
    _forget_losses("dead_lettered")


def _forget_losses(kind: str) -> None:
    from agent.spool import ledger

    lose = ledger.lose

    def forget(connection, what, *rest):
        if what != kind:
            lose(connection, what, *rest)

    ledger.lose = forget


def types_lost() -> None:
    """Numbers become text on the way."""
    from agent.host.intake import Intake

    emit = Intake.emit

    async def as_text(self, batch):
        records = [one._replace(attributes={key: _text(value) for key, value in one.attributes.items()}) for one in batch.records]
        await emit(self, batch._replace(records=records))

    Intake.emit = as_text


def _text(value: object) -> object:
    return str(value) if isinstance(value, float) else value


def refuse_commits(every: int) -> None:
    """No bug but a fault: the disk does not take every n-th batch, and the spool says so."""
    from agent.spool.spool import Spool

    append, count = Spool.append, 0

    async def refuse(self, source, payloads, *rest, **more):
        nonlocal count
        count += bool(payloads)
        if payloads and count % every == 0:
            raise SpoolError("the disk did not take it")
        return await append(self, source, payloads, *rest, **more)

    Spool.append = refuse


def narrow_spool(size: int) -> None:
    """No bug but a fault: the spool is so small that a batch of more than so many bytes never fits."""
    from agent.spool import quota

    quota.fits_ever = lambda _limit, wanted: wanted <= size


class Bug(NamedTuple):
    """A bug, the play in which it shows, and as what."""

    apply: Callable[[], None]
    play: str
    shows: str
    """One of `Verdict.faults`."""


_SEEDED = (
    Bug(position_before_data, "killed_between_commits", "lost"),
    Bug(data_before_position, "killed_between_commits", "repeated"),
    Bug(ack_before_commit, "refused_commits", "lost"),
    Bug(memory_ahead_of_the_store, "refused_commits", "lost"),
    Bug(partial_success_retried, "partial_success", "sent again without need"),
    Bug(cursor_before_answer, "killed_between_attempts", "lost"),
    Bug(row_deleted_when_taken, "killed_between_attempts", "lost"),
    Bug(position_behind_an_incomplete_line, "killed_within_a_line", "lost"),
    Bug(retry_with_other_bytes, "killed_after_the_answer", "repeated"),
    Bug(rotated_file_not_read_to_its_end, "renamed_unread", "lost"),
    Bug(copy_read_again, "copied_unread", "repeated"),
    Bug(eviction_not_counted, "full", "ledger"),
    Bug(dead_letter_not_counted, "refused_for_good", "ledger"),
    Bug(types_lost, "killed_after_the_answer", "invented"),
)
BUGS = {bug.apply.__name__: bug for bug in _SEEDED}
