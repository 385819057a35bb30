"""From a batch to a commit, with a spool that refuses in every way it can."""

from __future__ import annotations

import asyncio

import pytest

from agent.encode.otlp_logs import LogEncoder
from agent.errors import SpoolError, SpoolFullError
from agent.host.intake import Intake, Way
from agent.metrics import Metrics
from agent.record import Batch, Detected, Drop, LogRecord, Origin, Payload, Signal
from agent.redact.redactor import Redactor
from agent.telemetry import Telemetry
from agent.testing.clock import FakeClock, settle
from agent.testing.otlp_server import decode
from agent.testing.spool import MemorySpool

ORIGIN = Origin("file")


class KilledError(BaseException):
    """The agent ends here; what was stored is stored."""


class Spool(MemorySpool):
    """Kills the agent after so many transactions, if there is a number: what is stored then stays."""

    die_after = -1

    async def append(self, *args, **options):
        number = await super().append(*args, **options)
        if number == self.die_after:
            raise KilledError
        return number

    @property
    def bodies(self):
        requests = [decode("/v1/logs", payload.body) for one in self.appends for payload in one.payloads]
        return [record.body.string_value for one in requests for record in one.resource_logs[0].scope_logs[0].log_records]

    def dropped(self, reason):
        return sum(one.drops.get(reason, 0) for one in self.appends)


class OneFinding:
    """A detector that finds the same in every batch, and counts the commits."""

    def __init__(self, payloads=()):
        self.commits = 0
        self.payloads = payloads
        self.seen = []

    def judge(self, _source, records):
        self.seen += records
        return self

    async def __aenter__(self):
        return Detected(self.payloads, commit=self._commit)

    async def __aexit__(self, *error):
        return None

    def _commit(self):
        self.commits += 1


def make(spool, *, replayable=True, verbatim=False, **options):
    """An intake into this spool; options are those of the way."""
    clock = FakeClock()
    way = Way(spool, Redactor(), LogEncoder({}), Telemetry(Metrics({}, clock), clock), **options)
    return Intake("app", way, replayable=replayable, verbatim=verbatim)


def batch(*bodies, **positions):
    """A batch of records with these bodies."""
    return Batch(records=[LogRecord(1, 1, 9, "INFO", body, {}, ORIGIN, n) for n, body in enumerate(bodies)], positions=positions)


async def test_a_batch_that_never_fits_is_stored_in_parts_and_the_position_comes_last():
    """Every record is stored once and in order, and the position moves with the last part only."""
    spool, bodies = Spool(largest=400), [f"{n}:" + "x" * 100 for n in range(8)]

    await make(spool).emit(batch(*bodies, file=b"800"))

    assert spool.bodies == bodies
    assert len(spool.appends) > 2
    assert [one.positions["file"] for one in spool.appends if "file" in one.positions] == [b"800"]
    assert await spool.positions("app") == {"file": b"800"}


async def test_one_record_that_never_fits_is_counted_and_the_others_are_stored():
    """It has a reason of its own, and the source goes on behind it instead of reading it for ever."""
    spool = Spool(largest=400)

    await make(spool).emit(batch("a", "x" * 1000, "b", file=b"9"))

    assert spool.bodies == ["a", "b"]
    assert spool.dropped(Drop.SPOOL_OVERSIZE) == 1
    assert await spool.positions("app") == {"file": b"9"}


@pytest.mark.parametrize("parts", range(1, 9))
async def test_what_was_stored_of_a_batch_in_parts_is_not_stored_again(parts):
    """Killed between two parts, the source reads from its old position again, in other batches: each record is stored once, in order."""
    spool, bodies = Spool(largest=250), [f"{n}:" + "x" * 100 for n in range(8)]
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
    spool = Spool(largest=250, faults=[None, SpoolError("broken")])
    intake = make(spool)
    with pytest.raises(SpoolError):
        await intake.emit(batch(*bodies, file=b"8"))

    await intake.emit(batch(*bodies, file=b"8"))

    assert spool.bodies == bodies


async def test_the_rows_of_one_record_are_stored_together_or_given_up_one_by_one():
    """A record and the error found in it don't fit together: the larger row is counted, the other is stored, in one transaction."""
    spool, detector = Spool(largest=200), OneFinding([Payload(Signal.SENTRY_ERROR, 1, b"e" * 180)])

    await make(spool, detector=detector).emit(batch("x" * 50, file=b"1"))

    assert [[payload.signal for payload in one.payloads] for one in spool.appends] == [[Signal.LOGS], []]
    assert (spool.dropped(Drop.SPOOL_OVERSIZE), detector.commits) == (1, 1)


async def test_what_cannot_be_split_is_counted_too():
    """An envelope has no halves."""
    spool = Spool(largest=10)

    await make(spool, verbatim=True).emit(Batch(payloads=[Payload(Signal.SENTRY_ERROR, 1, b"e" * 20)], positions={"k": b"1"}))

    assert spool.dropped(Drop.SPOOL_OVERSIZE) == 1
    assert await spool.positions("app") == {"k": b"1"}


async def test_a_full_spool_is_waited_for_if_the_source_can_read_again():
    """Back-pressure: nothing lost, nothing counted."""
    spool = Spool(faults=[SpoolFullError("full")])

    await make(spool).emit(batch("a", file=b"1"))

    assert (spool.bodies, spool.waits) == (["a"], 1)


async def test_what_a_full_spool_did_not_take_is_counted_by_the_next_commit():
    """The drops of the lost batch itself are not forgotten either."""
    spool = Spool(faults=[SpoolFullError("full")])
    intake = make(spool, replayable=False)

    await intake.emit(batch("a", "b")._replace(drops={Drop.INVALID_UTF8: 3}))
    await intake.emit(batch("c"))

    assert spool.bodies == ["c"]
    assert (spool.dropped(Drop.SPOOL_FULL), spool.dropped(Drop.INVALID_UTF8)) == (2, 3)


async def test_a_failure_passes_and_the_detector_is_not_told():
    """The source is started again from the committed position, and its records are judged again."""
    detector = OneFinding()

    with pytest.raises(SpoolError):
        await make(Spool(faults=[SpoolError("broken")]), detector=detector).emit(batch("a"))

    assert detector.commits == 0


async def test_a_commit_that_outlives_its_cancelled_caller_is_known_to_have_happened():
    """The state that follows the commits must not stay behind what is stored."""
    spool, detector = Spool(), OneFinding()
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
    spool = Spool(faults=[SpoolFullError("full"), SpoolError("broken")])
    intake = make(spool, replayable=False)
    await intake.emit(batch("lost"))
    second = batch("b")._replace(drops={Drop.INVALID_UTF8: 1})

    with pytest.raises(SpoolError):
        await intake.emit(second)
    await intake.emit(second)

    assert (spool.dropped(Drop.SPOOL_FULL), spool.dropped(Drop.INVALID_UTF8)) == (1, 1)


def request(*bodies, severity=9):
    """Log records that another program has encoded."""
    made = [LogRecord(1, 1, severity, "", body, {}, Origin("", resource={"service.name": "theirs"}), n) for n, body in enumerate(bodies)]
    return Payload(Signal.LOGS, len(made), LogEncoder({}).encode(made))


async def test_what_comes_encoded_is_redacted_too():
    """A source that emits requests needs to do nothing for it; what holds no secret stays the bytes that it was."""
    spool, clean = MemorySpool(), request("all well")

    await make(spool).emit(Batch(payloads=[request("login password=tr0ub4dor-and-3"), clean]))

    [first, second] = spool.appends[0].payloads
    assert (b"tr0ub4dor" in first.body, b"[REDACTED]" in first.body, second) == (False, True, clean)


async def test_a_verbatim_source_keeps_its_bytes():
    """It has said why; then neither secrets nor errors are looked for."""
    spool, detector, secret = MemorySpool(), OneFinding([Payload(Signal.SENTRY_ERROR, 1, b"e")]), request("password=tr0ub4dor-and-3")

    await make(spool, verbatim=True, detector=detector).emit(Batch(payloads=[secret]))

    assert spool.appends[0].payloads == [secret]
    assert detector.seen == []


async def test_what_cannot_be_searched_is_not_stored():
    """Bytes in which a secret can't be found are counted and left out; the rest of the batch and its position are stored."""
    spool = Spool()

    await make(spool).emit(
        batch("a", file=b"1")._replace(payloads=[Payload(Signal.SENTRY_ERROR, 1, b"{}"), Payload(Signal.LOGS, 3, b"\xff")])
    )

    assert (spool.bodies, spool.dropped(Drop.UNSEARCHABLE)) == (["a"], 4)
    assert await spool.positions("app") == {"file": b"1"}


async def test_errors_are_looked_for_in_what_comes_encoded():
    """The detector sees the records of a request behind those of the batch, each with the resource it came with, and without secrets."""
    detector = OneFinding()

    await make(MemorySpool(), detector=detector).emit(
        batch("ours")._replace(payloads=[request("it broke, password=tr0ub4dor-and-3", severity=17)])
    )

    [ours, theirs] = detector.seen
    assert (ours.body, theirs.body, theirs.severity) == ("ours", "it broke, password=[REDACTED]", 17)
    assert theirs.origin.resource == {"service.name": "theirs"}


async def test_a_durable_batch_is_stored_durably_in_all_its_parts():
    """A batch that is acknowledged to a sender survives a power cut, and is never evicted to make room."""
    spool = MemorySpool(largest=400)
    intake = make(spool, replayable=False)

    await intake.emit(batch(*("x" * 100 for _ in range(8)))._replace(durable=True))
    await intake.emit(batch("a"))

    assert {(one.durable, one.replayable) for one in spool.appends[:-1]} == {(True, True)}
    assert (spool.appends[-1].durable, spool.appends[-1].replayable) == (False, False)


async def test_a_full_spool_refuses_a_durable_batch():
    """Its sender keeps it: it is neither lost, nor counted, nor waited with."""
    spool = Spool(faults=[SpoolFullError("full")])
    intake = make(spool, replayable=False)

    with pytest.raises(SpoolFullError):
        await intake.emit(batch("a")._replace(durable=True))
    await intake.emit(batch("a")._replace(durable=True))

    assert (spool.bodies, spool.dropped(Drop.SPOOL_FULL)) == (["a"], 0)


async def test_batches_that_are_emitted_at_once_are_stored_in_the_order_of_the_calls():
    """A source that can read again may emit while it emits: also a batch in parts is stored before the next one begins, and a kill repeats nothing."""
    spool, bodies = Spool(largest=250), [f"{n}:" + "x" * 100 for n in range(8)]
    whole = batch(*bodies, file=b"4")
    intake = make(spool)

    await asyncio.gather(
        intake.emit(whole._replace(records=whole.records[:4])),
        intake.emit(whole._replace(records=whole.records[4:], positions={"file": b"8"})),
    )

    assert spool.bodies == bodies
    assert await spool.positions("app") == {"file": b"8"}


async def test_batches_that_cannot_be_read_again_share_a_commit():
    """The requests of many senders need not wait for one another's disk."""
    spool = Spool()
    spool.gate = asyncio.Event()
    intake, waiting = make(spool, replayable=False), 0

    async def append(*_args, **_options):
        nonlocal waiting
        waiting += 1
        await spool.gate.wait()
        return 1

    spool.append = append
    tasks = [asyncio.create_task(intake.emit(batch("a")._replace(durable=True))) for _ in range(5)]
    await settle()
    assert waiting == 5
    spool.gate.set()
    await asyncio.gather(*tasks)


async def test_stages_come_in_order_and_before_redaction():
    """A stage adds what the next one sees; what it adds is redacted, although the text that the records came from holds no secret."""
    spool = Spool()

    def mark(one):
        return one._replace(records=[record._replace(body=f"{record.body} run=7") for record in one.records])

    def explain(one):
        return one._replace(records=[record._replace(body=f"{record.body} password=tr0ub4dor-and-3") for record in one.records])

    await make(spool, stages=[mark, explain]).emit(batch("a")._replace(text=b"a"))

    assert spool.bodies == ["a run=7 password=[REDACTED]"]


async def test_what_a_stage_leaves_out_is_counted_and_the_position_moves():
    """Filtered records are not lost: their count has a reason of its own."""
    spool = Spool()

    def filtered(one):
        kept = [record for record in one.records if record.body != "noise"]
        return one._replace(records=kept, drops={Drop.FILTERED: len(one.records) - len(kept)})

    await make(spool, stages=[filtered]).emit(batch("a", "noise", file=b"2"))

    assert (spool.bodies, spool.dropped(Drop.FILTERED)) == (["a"], 1)
    assert await spool.positions("app") == {"file": b"2"}


async def test_a_tap_sees_each_stored_record_once():
    """Also of a batch in parts, in the order in which it is stored, redacted; nothing of what was refused or given up."""
    spool, seen = Spool(largest=400, faults=[SpoolError("broken")]), []
    intake = make(spool, taps=[lambda source, one: seen.extend((source, record.body) for record in one.records)])
    with pytest.raises(SpoolError):
        await intake.emit(batch("password=tr0ub4dor-and-3"))

    await intake.emit(batch("password=tr0ub4dor-and-3", "x" * 1000, "b"))
    await intake.emit(Batch(payloads=[request("theirs")]))

    assert seen == [("app", "password=[REDACTED]"), ("app", "b")]
    assert spool.dropped(Drop.SPOOL_OVERSIZE) == 1


async def test_a_tap_that_fails_loses_nothing():
    """The batch is stored, the other taps see it, and the failure is reported."""
    spool, seen = Spool(), []

    def broken(_source, _batch):
        raise KeyError("a bug")

    intake = make(spool, taps=[broken, lambda _source, one: seen.append(len(one.records))])
    await intake.emit(batch("a"))

    assert (spool.bodies, seen) == (["a"], [1])
    assert [notice.name for notice in intake._way.telemetry.recent] == ["stored batch not seen"]
