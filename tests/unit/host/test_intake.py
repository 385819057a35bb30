"""From a batch to a commit, with a spool that refuses in every way it can."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from agent.encode.otlp_logs import LogEncoder
from agent.errors import SpoolError, SpoolFullError, SpoolOversizeError
from agent.host.intake import Intake
from agent.host.wrapped import TRIES, Wrapped
from agent.metrics import Metrics
from agent.record import Batch, Detected, Drop, LogRecord, Origin, Payload, Signal
from agent.telemetry import Telemetry
from agent.testing.clock import FakeClock
from agent.testing.otlp_server import decode

ORIGIN = Origin("file")


class KilledError(BaseException):
    """The agent ends here; what was stored is stored."""


class FakeSpool:
    """Takes batches up to a size; raises what `refusals` holds first; waits at `gate` if there is one; what is stored survives `die_after`."""

    def __init__(self, largest=1 << 30, refusals=()):
        self.largest = largest
        self.refusals = list(refusals)
        self.stored = []
        self.waited = 0
        self.gate = None
        self.committed = {}
        self.die_after = -1

    async def append(self, _source, payloads, positions, drops, *, replayable):
        self.replayable = replayable
        if self.gate is not None:
            await self.gate.wait()
        if sum(len(payload.body) for payload in payloads) > self.largest:
            raise SpoolOversizeError("never")
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.stored.append((payloads, positions, drops))
        self.committed.update(positions)
        if len(self.stored) == self.die_after:
            raise KilledError
        return len(self.stored)

    async def positions(self, _source):
        return {key: value for key, value in self.committed.items() if value is not None}

    async def wait_for_room(self):
        self.waited += 1

    @property
    def bodies(self):
        requests = [decode("/v1/logs", payload.body) for payloads, _, _ in self.stored for payload in payloads]
        return [record.body.string_value for one in requests for record in one.resource_logs[0].scope_logs[0].log_records]

    def dropped(self, reason):
        return sum(drops.get(reason, 0) for _, _, drops in self.stored)


class NoRedaction:
    def redact(self, records, _text):
        return records, {}


class OneFinding:
    """A detector that finds the same in every batch, and says when it was told of the commit."""

    def __init__(self, payloads=()):
        self.commits = 0
        self.payloads = payloads

    def judge(self, _source, _records):
        return self

    async def __aenter__(self):
        return Detected(self.payloads, commit=self._commit)

    async def __aexit__(self, *error):
        return None

    def _commit(self):
        self.commits += 1


def make(spool, *, replayable=True, detector=None):
    """An intake into this spool."""
    clock = FakeClock()
    return Intake(
        "app",
        replayable=replayable,
        spool=spool,
        redactor=NoRedaction(),
        encoder=LogEncoder({}),
        detector=detector,
        telemetry=Telemetry(Metrics({}, clock), clock),
    )


def batch(*bodies, **positions):
    """A batch of records with these bodies."""
    return Batch(records=[LogRecord(1, 1, 9, "INFO", body, {}, ORIGIN, n) for n, body in enumerate(bodies)], positions=positions)


async def test_a_batch_that_never_fits_is_stored_in_parts_and_the_position_comes_last():
    """Every record is stored once and in order, and the position moves with the last part only."""
    spool, bodies = FakeSpool(largest=400), [f"{n}:" + "x" * 100 for n in range(8)]

    await make(spool).emit(batch(*bodies, file=b"800"))

    assert spool.bodies == bodies
    assert len(spool.stored) > 2
    assert [positions["file"] for _, positions, _ in spool.stored if "file" in positions] == [b"800"]
    assert await spool.positions("app") == {"file": b"800"}


async def test_one_record_that_never_fits_is_counted_and_the_others_are_stored():
    """It has a reason of its own, and the source goes on behind it instead of reading it for ever."""
    spool = FakeSpool(largest=400)

    await make(spool).emit(batch("a", "x" * 1000, "b", file=b"9"))

    assert spool.bodies == ["a", "b"]
    assert spool.dropped(Drop.SPOOL_OVERSIZE) == 1
    assert await spool.positions("app") == {"file": b"9"}


@pytest.mark.parametrize("parts", range(1, 9))
async def test_what_was_stored_of_a_batch_in_parts_is_not_stored_again(parts):
    """Killed between two parts, the source reads from its old position again, in other batches: each record is stored once, in order."""
    spool, bodies = FakeSpool(largest=250), [f"{n}:" + "x" * 100 for n in range(8)]
    spool.die_after = parts
    whole = batch(*bodies, file=b"8")
    with pytest.raises(KilledError):
        await make(spool).emit(whole)

    again = make(spool)
    for begin, end in ((0, 1), (1, 6), (6, 8)):
        await again.emit(whole._replace(records=whole.records[begin:end], positions={"file": b"%d" % end}))

    assert spool.bodies == bodies
    assert await spool.positions("app") == {"file": b"8"}


async def test_after_a_refused_part_the_source_goes_on_at_what_is_stored():
    """The spool fails in the middle, and the source is started again within the same run: nothing is stored twice, nothing is left out."""
    bodies = [f"{n}:" + "x" * 100 for n in range(8)]
    spool = FakeSpool(largest=250, refusals=[None, SpoolError("broken")])
    intake = make(spool)
    with pytest.raises(SpoolError):
        await intake.emit(batch(*bodies, file=b"8"))

    await intake.emit(batch(*bodies, file=b"8"))

    assert spool.bodies == bodies


async def test_the_rows_of_one_record_are_stored_together_or_given_up_one_by_one():
    """A record and the error found in it don't fit together: the larger row is counted, the other is stored, in one transaction."""
    spool, detector = FakeSpool(largest=200), OneFinding([Payload(Signal.SENTRY_ERROR, 1, b"e" * 180)])

    await make(spool, detector=detector).emit(batch("x" * 50, file=b"1"))

    assert [[payload.signal for payload in payloads] for payloads, _, _ in spool.stored] == [[Signal.LOGS], []]
    assert (spool.dropped(Drop.SPOOL_OVERSIZE), detector.commits) == (1, 1)


async def test_what_cannot_be_split_is_counted_too():
    """An envelope has no halves."""
    spool = FakeSpool(largest=10)

    await make(spool).emit(Batch(payloads=[Payload(Signal.SENTRY_ERROR, 1, b"e" * 20)], positions={"k": b"1"}))

    assert spool.dropped(Drop.SPOOL_OVERSIZE) == 1
    assert await spool.positions("app") == {"k": b"1"}


async def test_a_full_spool_is_waited_for_if_the_source_can_read_again():
    """Back-pressure: nothing lost, nothing counted."""
    spool = FakeSpool(refusals=[SpoolFullError("full")])

    await make(spool).emit(batch("a", file=b"1"))

    assert (spool.bodies, spool.waited) == (["a"], 1)


async def test_what_a_full_spool_did_not_take_is_counted_by_the_next_commit():
    """The drops of the lost batch itself are not forgotten either."""
    spool = FakeSpool(refusals=[SpoolFullError("full")])
    intake = make(spool, replayable=False)

    await intake.emit(batch("a", "b")._replace(drops={Drop.INVALID_UTF8: 3}))
    await intake.emit(batch("c"))

    assert spool.bodies == ["c"]
    assert (spool.dropped(Drop.SPOOL_FULL), spool.dropped(Drop.INVALID_UTF8)) == (2, 3)


async def test_a_batch_that_was_given_up_is_counted_by_the_next_commit():
    """`lose` is for hosts that can't wait any longer."""
    spool = FakeSpool()
    intake = make(spool, replayable=False)

    intake.lose(batch("a", "b"), Drop.SPOOL_FAILED)
    await intake.emit(batch("c"))
    await intake.emit(batch("d"))

    assert spool.dropped(Drop.SPOOL_FAILED) == 2


async def test_a_failure_passes_and_the_detector_is_not_told():
    """The source is started again from the committed position, and its records are judged anew."""
    detector = OneFinding()

    with pytest.raises(SpoolError):
        await make(FakeSpool(refusals=[SpoolError("broken")]), detector=detector).emit(batch("a"))

    assert detector.commits == 0


async def test_a_commit_that_outlives_its_cancelled_caller_is_known_to_have_happened():
    """The state that follows the commits must not stay behind what is stored."""
    spool, detector = FakeSpool(), OneFinding()
    spool.gate = asyncio.Event()
    intake = make(spool, detector=detector)
    task = asyncio.create_task(intake.emit(batch("a")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    spool.gate.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (spool.bodies, detector.commits) == (["a"], 1)


async def test_what_is_owed_is_counted_once_though_the_spool_fails_in_between():
    """A host that tries the same batch again must not double the account."""
    spool = FakeSpool(refusals=[SpoolFullError("full"), SpoolError("broken")])
    intake = make(spool, replayable=False)
    await intake.emit(batch("lost"))
    second = batch("b")._replace(drops={Drop.INVALID_UTF8: 1})

    with pytest.raises(SpoolError):
        await intake.emit(second)
    await intake.emit(second)

    assert (spool.dropped(Drop.SPOOL_FULL), spool.dropped(Drop.INVALID_UTF8)) == (1, 1)


async def test_a_wrapped_commands_batch_is_tried_again_and_then_given_up_and_counted():
    """A spool that fails neither ends the agent nor blocks the command for ever, and what is lost is known."""
    clock = FakeClock()
    spool = FakeSpool(refusals=[SpoolError("broken")] * (TRIES + 2))
    wrapped = Wrapped(("true",), Mock(clock=clock), lambda _cause: None)
    wrapped._intake = make(spool, replayable=False)

    for body in ("given up", "stored in the end"):
        task = asyncio.create_task(wrapped._emit(batch(body)))
        while not task.done():
            await clock.advance(2.0)
        await task

    assert spool.bodies == ["stored in the end"]
    assert spool.dropped(Drop.SPOOL_FAILED) == 1
