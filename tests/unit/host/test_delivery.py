from __future__ import annotations

import asyncio
import zlib

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent.component import Accepted
from agent.errors import PausedError, RejectedError, RetryableError, SpoolError, TooLargeError
from agent.host.delivery import Sender
from agent.host.delivery_state import (
    DestinationState,
    DestinationWarned,
    ExportDelayed,
    ExportPaused,
    ExportRecovered,
    RecordsRefused,
    State,
)
from agent.host.row_parts import FORGET_LIMIT, LearnedLimit, halve_row
from agent.metrics import Metrics
from agent.record import Row, Signal
from agent.testing.clock import FakeClock, settle
from agent.testing.spool import MemorySpool


def make_row(seq: int, records: int = 3, size: int = 10) -> Row:
    """A row of log records, each a text of that size."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(records):
        scope.log_records.add().body.string_value = f"{seq}.{number}:".ljust(size, "x")
    body = request.SerializeToString()
    return Row(seq, Signal.LOGS, "source", records, zlib.compress(body, wbits=31), len(body), 0)


def texts(row: Row) -> list[str]:
    """The texts of a row's records."""
    request = ExportLogsServiceRequest.FromString(zlib.decompress(row.body, wbits=31))
    return [one.body.string_value for logs in request.resource_logs for scope in logs.scope_logs for one in scope.log_records]


class Destination:
    """Takes rows unless the script says otherwise; `limit` is in bytes before compression."""

    signals = frozenset({Signal.LOGS})

    def __init__(self, *script: Exception | Accepted | None, limit: int | None = None) -> None:
        self.script = list(script)
        self.limit = limit
        self.tried: list[Row] = []
        self.taken: list[Row] = []

    async def export(self, row: Row) -> Accepted:
        self.tried.append(row)
        await asyncio.sleep(0)
        outcome = self.script.pop(0) if self.script else None
        if isinstance(outcome, Exception):
            raise outcome
        if self.limit is not None and row.raw_size > self.limit:
            raise TooLargeError("HTTP 413")
        self.taken.append(row)
        return outcome or Accepted()

    async def close(self) -> None:
        pass


class Telemetry:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def emit(self, event: object) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


class Bench:
    """A sender on its bench."""

    def __init__(self, destination: Destination, *rows: Row) -> None:
        self.clock = FakeClock()
        self.spool = MemorySpool(rows)
        self.destination = destination
        self.telemetry = Telemetry()
        self.metrics = Metrics({}, self.clock)
        self.sender = Sender(
            destination,
            Signal.LOGS,
            destination="there",
            spool=self.spool,
            clock=self.clock,
            telemetry=self.telemetry,
            metrics=self.metrics,
            chance=lambda: 0.5,
        )
        self.task: asyncio.Task | None = None

    async def drain(self) -> None:
        """Deliver what there is, without letting time pass."""
        self.sender.drain()
        await asyncio.wait_for(self.sender.run(), 5)

    async def start(self) -> None:
        self.task = asyncio.ensure_future(self.sender.run())
        await settle()

    async def cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def tried(self) -> int:
        return len(self.destination.tried)


async def test_rows_are_delivered_in_order_and_settled_one_by_one():
    """Every row is sent once, in order, and all its records are booked as sent."""
    rows = [make_row(seq) for seq in (1, 2, 3)]
    bench = Bench(Destination(), *rows)
    await bench.drain()
    assert bench.destination.taken == rows
    assert bench.spool.settled == [(1, 3, 0, []), (2, 3, 0, []), (3, 3, 0, [])]


async def test_a_new_row_wakes_the_sender():
    """A row that is committed while the sender waits goes out at once."""
    bench = Bench(Destination())
    await bench.start()
    bench.spool.add(make_row(1))
    await settle()
    assert [row[0] for row in bench.spool.settled] == [1]
    await bench.cancel()


async def test_a_retryable_failure_waits_and_repeats_the_same_bytes():
    """The same row is tried again after the back-off, and the next row waits for it."""
    bench = Bench(Destination(RetryableError("HTTP 503"), RetryableError("HTTP 503")), make_row(1), make_row(2))
    await bench.start()
    assert (bench.tried, bench.clock.sleeping) == (1, 1)
    await bench.clock.advance(0.49)
    assert bench.tried == 1
    await bench.clock.advance(0.02)  # first wait: half of 1 s
    assert bench.tried == 2
    await bench.clock.advance(1.01)  # second wait: half of 2 s
    assert [row.seq for row in bench.destination.tried] == [1, 1, 1, 2]
    assert len({row.body for row in bench.destination.tried[:3]}) == 1
    assert [row[0] for row in bench.spool.settled] == [1, 2]
    await bench.cancel()


async def test_the_destinations_wish_is_honoured():
    """A Retry-After decides the wait, and the event tells it."""
    bench = Bench(Destination(RetryableError("HTTP 429", after=30.0)), make_row(1))
    await bench.start()
    [event] = bench.telemetry.of(ExportDelayed)
    assert (event.reason, event.retry_in) == ("HTTP 429", 31.5)
    await bench.clock.advance(31.4)
    assert bench.tried == 1
    await bench.clock.advance(0.2)
    assert bench.tried == 2
    await bench.cancel()


async def test_an_absurd_wish_is_granted_for_an_hour():
    """No answer sends us away for good: after an hour the row is tried again."""
    bench = Bench(Destination(RetryableError("HTTP 503", after=1e9)), make_row(1))
    await bench.start()
    await bench.clock.advance(3600.0 * 1.05 + 1)
    assert [row[0] for row in bench.spool.settled] == [1]
    await bench.cancel()


@pytest.mark.parametrize("after", [0.0, -5.0, None])
async def test_a_wish_for_the_past_does_not_hammer(after):
    """A Retry-After of nothing or less leaves the back-off in charge."""
    bench = Bench(Destination(*[RetryableError("HTTP 503", after=after)] * 3), make_row(1))
    await bench.start()
    assert bench.tried == 1
    await bench.clock.advance(0.51)
    assert bench.tried == 2
    await bench.cancel()


async def test_it_never_gives_up():
    """After a day of failures the row is still there and is delivered at once when the destination is back."""
    destination = Destination(*[RetryableError("HTTP 503")] * 10_000)
    bench = Bench(destination, make_row(1))
    await bench.start()
    for _ in range(100):
        await bench.clock.advance(864.0)
    assert bench.spool.settled == []
    destination.script.clear()
    await bench.clock.advance(60.0)
    assert [row[0] for row in bench.spool.settled] == [1]
    await bench.cancel()


async def test_a_destination_that_refuses_us_is_asked_once_a_minute():
    """401, 403, 404 keep everything; one row a minute is tried; the pause and its end are reported once each."""
    bench = Bench(Destination(PausedError("HTTP 401"), PausedError("HTTP 401")), make_row(1))
    await bench.start()
    assert bench.sender.status.state is State.PAUSED
    await bench.clock.advance(59.0)
    assert bench.tried == 1
    await bench.clock.advance(5.0)
    assert bench.tried == 2
    await bench.clock.advance(64.0)
    assert [row[0] for row in bench.spool.settled] == [1]
    assert bench.telemetry.events == [ExportPaused("there", "logs", "HTTP 401"), ExportRecovered("there", "logs")]
    await bench.cancel()


async def test_a_refused_row_is_a_dead_letter():
    """A permanent refusal books all records as dead, with the reason, and the next row follows."""
    bench = Bench(Destination(RejectedError("HTTP 400: no")), make_row(1), make_row(2))
    await bench.drain()
    [first, second] = bench.spool.settled
    assert [(letter.reason, letter.records, letter.body) for letter in first[3]] == [("HTTP 400: no", 3, None)]
    assert second == (2, 3, 0, [])
    assert bench.telemetry.of(RecordsRefused) == [RecordsRefused("there", "logs", "dead_letter", 3, "HTTP 400: no")]


async def test_a_partial_success_is_final():
    """Rejected records are booked as such, reported with the destination's words, and never sent again."""
    bench = Bench(Destination(Accepted(2, "too old")), make_row(1))
    await bench.drain()
    assert (bench.tried, bench.spool.settled) == (1, [(1, 1, 2, [])])
    assert bench.telemetry.of(RecordsRefused) == [RecordsRefused("there", "logs", "rejected", 2, "too old")]


@pytest.mark.parametrize(("rejected", "booked"), [(99, 3), (-1, 0)])
async def test_an_impossible_partial_success_does_not_break_the_books(rejected, booked):
    """No more records can be rejected than were sent, and no fewer than none."""
    bench = Bench(Destination(Accepted(rejected, "?")), make_row(1))
    await bench.drain()
    assert bench.spool.settled == [(1, 3 - booked, booked, [])]


async def test_a_warning_is_told():
    """A success with a message is a success, and the message is passed on."""
    bench = Bench(Destination(Accepted(0, "use v2")), make_row(1))
    await bench.drain()
    assert bench.spool.settled == [(1, 3, 0, [])]
    assert bench.telemetry.events == [DestinationWarned("there", "logs", "use v2")]


async def test_a_bug_in_an_exporter_loses_nothing():
    """An exception that is not in the contract keeps the row, says so, and tries again."""
    bench = Bench(Destination(KeyError("oops")), make_row(1))
    await bench.start()
    [event] = bench.telemetry.of(ExportDelayed)
    assert event.reason == "the exporter failed unexpectedly: KeyError: 'oops'"
    await bench.clock.advance(1.0)
    assert [row[0] for row in bench.spool.settled] == [1]
    await bench.cancel()


# --- too large ----------------------------------------------------------------------------------------------------------------------


async def test_everything_that_fits_arrives():
    """A row over the limit is halved until its parts fit: every record arrives once and in order, and the row is settled once."""
    row = make_row(1, 100, 50)
    bench = Bench(Destination(limit=600), row)
    await bench.drain()
    assert [text for part in bench.destination.taken for text in texts(part)] == texts(row)
    assert bench.spool.settled == [(1, 100, 0, [])]


async def test_only_the_oversize_record_is_a_dead_letter():
    """Of a row with one record that never fits all others arrive; the dead letter holds exactly that one."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(50):
        scope.log_records.add().body.string_value = ("huge" * 1000) if number == 37 else f"small {number}"
    body = request.SerializeToString()
    bench = Bench(Destination(limit=600), Row(1, Signal.LOGS, "s", 50, zlib.compress(body, wbits=31), len(body), 0))
    await bench.drain()
    arrived = [text for part in bench.destination.taken for text in texts(part)]
    assert arrived == [f"small {number}" for number in range(50) if number != 37]
    [(_, sent, _, [letter])] = bench.spool.settled
    assert (sent, letter.records, letter.reason) == (49, 1, "HTTP 413")
    [dead] = ExportLogsServiceRequest.FromString(letter.body).resource_logs[0].scope_logs[0].log_records
    assert dead.body.string_value == "huge" * 1000


async def test_a_single_record_that_is_too_large_is_the_whole_row():
    """A row of one record can't be halved; its dead letter is the row itself."""
    bench = Bench(Destination(limit=30), make_row(1, 1, 100), make_row(2, 1, 0))
    await bench.drain()
    assert bench.spool.settled[0][3][0].body is None
    assert bench.spool.settled[1] == (2, 1, 0, [])


async def test_halves_are_the_same_bytes_every_time():
    """After a crash in the middle of a halved row the same requests go out again, byte by byte."""
    row = make_row(1, 64, 50)
    first, second = Bench(Destination(limit=600), row), Bench(Destination(limit=600), row)
    await first.drain()
    await second.drain()
    assert [part.body for part in first.destination.taken] == [part.body for part in second.destination.taken]


async def test_the_limit_is_learned():
    """A row that is certainly too large is not sent before it is halved; the halves are the same as without that knowledge."""
    rows = [make_row(seq, 64, 50) for seq in (1, 2)]
    bench = Bench(Destination(limit=600), *rows)
    await bench.drain()
    tried = {seq: [row for row in bench.destination.tried if row.seq == seq] for seq in (1, 2)}
    taken = {seq: [texts(row) for row in bench.destination.taken if row.seq == seq] for seq in (1, 2)}
    assert len(tried[2]) == len(taken[2]) < len(tried[1])
    assert [len(part) for part in taken[1]] == [len(part) for part in taken[2]]


@pytest.mark.parametrize(("packed", "raw", "exceeded"), [(10, 100, True), (9, 100, False), (10, 99, False), (11, 101, True)])
def test_only_what_is_larger_by_both_measures_is_known_to_be_too_large(packed, raw, exceeded):
    """The destination does not say whether it measures before or after unpacking, so a row that is smaller by one of them is tried."""
    limit = LearnedLimit()
    row = Row(1, Signal.LOGS, "s", 1, bytes(10), 100, 0)
    assert not limit.exceeded(row, 0.0)
    limit.learn(row, 0.0)
    assert limit.exceeded(row._replace(body=bytes(packed), raw_size=raw), 1.0) is exceeded


async def test_the_learned_limit_is_forgotten():
    """After ten minutes a large row is tried whole again: limits get raised."""
    bench = Bench(Destination(limit=600), make_row(1, 64, 50))
    await bench.start()
    await bench.clock.advance(FORGET_LIMIT + 1)
    bench.destination.limit = None
    bench.spool.add(make_row(2, 64, 50))
    await settle(100)
    assert [row.records for row in bench.destination.tried if row.seq == 2] == [64]
    await bench.cancel()


async def test_a_failure_between_halves_repeats_only_that_half():
    """While the agent lives, halves that were delivered are not sent again because a later one has to wait."""
    row = make_row(1, 4, 100)
    bench = Bench(Destination(TooLargeError("HTTP 413"), None, RetryableError("HTTP 503")), row)
    await bench.start()
    await bench.clock.advance(1.0)
    assert [text for part in bench.destination.taken for text in texts(part)] == texts(row)
    assert bench.spool.settled == [(1, 4, 0, [])]
    await bench.cancel()


async def test_partial_success_and_refusal_of_halves_add_up():
    """Each half has its own end; the row's books are their sum."""
    bench = Bench(Destination(TooLargeError("HTTP 413"), Accepted(1, "bad"), RejectedError("HTTP 400")), make_row(1, 4))
    await bench.drain()
    [(_, sent, rejected, [letter])] = bench.spool.settled
    assert (sent, rejected, letter.records, letter.reason) == (1, 1, 2, "HTTP 400")


@pytest.mark.parametrize("signal", [Signal.LOGS, Signal.SENTRY_ERROR])
def test_what_can_not_be_split_is_left_alone(signal):
    """Bytes that are not a request of the signal, or a kind without records, have no halves."""
    row = make_row(1)._replace(signal=signal, body=zlib.compress(b"\xff\xff\xff", wbits=31))
    assert halve_row(row) is None


def test_halves_share_out_the_records_whoever_counted_them():
    """If the row's number of records is not what its request holds, the halves still add up to it."""
    halves = halve_row(make_row(1, 10)._replace(records=7))
    assert halves is not None
    assert sum(half.records for half in halves) == 7


# --- the spool fails ----------------------------------------------------------------------------------------------------------------


async def test_a_failed_settlement_is_repeated_without_sending_again():
    """Delivered records are not sent again because they could not be booked: only the booking is repeated."""
    bench = Bench(Destination(), make_row(1))
    await bench.start()
    bench.spool.faults = []
    bench.spool.add(make_row(2))
    original = bench.spool.settle

    async def fail_once(*args, **options):
        bench.spool.settle = original
        raise SpoolError("disk full")

    bench.spool.settle = fail_once
    await settle()
    await bench.clock.advance(1.0)
    assert [row[0] for row in bench.spool.settled] == [1, 2]
    assert bench.tried == 2
    await bench.cancel()


async def test_a_spool_that_can_not_be_read_is_asked_again():
    """A failure to read the next row is not the end of the sender."""
    bench = Bench(Destination(), make_row(1))
    bench.spool.faults = [SpoolError("locked"), SpoolError("locked")]
    await bench.start()
    await bench.clock.advance(5.0)
    assert [row[0] for row in bench.spool.settled] == [1]
    await bench.cancel()


# --- stopping -----------------------------------------------------------------------------------------------------------------------


async def test_drain_ends_when_nothing_is_left():
    """Asked to drain, the sender delivers what is stored and returns."""
    bench = Bench(Destination(), make_row(1), make_row(2))
    await bench.start()
    bench.sender.drain()
    await asyncio.wait_for(bench.task, 1)
    assert len(bench.spool.settled) == 2


@pytest.mark.parametrize("error", [PausedError("HTTP 401"), RetryableError("connection refused")])
async def test_drain_tries_once_more_what_was_waiting(error):
    """A destination that has failed gets its next attempt when the end is near; if that fails as well, the end waits for it no longer."""
    bench = Bench(Destination(error, error), make_row(1), make_row(2))
    await bench.start()
    bench.sender.drain()
    await asyncio.wait_for(bench.task, 1)
    assert (bench.tried, bench.spool.settled) == (2, [])


async def test_drain_goes_on_where_the_one_more_attempt_succeeds():
    """The destination is back: the rows behind are delivered as well."""
    bench = Bench(Destination(RetryableError("connection refused")), make_row(1), make_row(2))
    await bench.start()
    bench.sender.drain()
    await asyncio.wait_for(bench.task, 1)
    assert (bench.tried, len(bench.spool.settled)) == (3, 2)


async def test_a_destination_that_fails_for_the_first_time_in_the_drain_is_tried_again():
    """It had taken everything until then: one refusal does not give up the time that is left."""
    bench = Bench(Destination(RetryableError("HTTP 503"), RetryableError("HTTP 503")), make_row(1))
    bench.sender.drain()
    await bench.start()
    assert (bench.tried, bench.clock.sleeping >= 1) == (2, True)
    await bench.cancel()


async def test_stop_ends_a_wait_and_keeps_the_row():
    """A sender that waits ends at once when stopped; the row stays."""
    bench = Bench(Destination(RetryableError("HTTP 503")), make_row(1))
    await bench.start()
    bench.sender.stop()
    await asyncio.wait_for(bench.task, 1)
    assert (bench.tried, bench.spool.settled) == (1, [])


async def test_stop_lets_the_attempt_finish_and_books_it():
    """An attempt under way when the sender is stopped is finished and settled, so that it need not be repeated."""
    bench = Bench(Destination(), make_row(1), make_row(2))
    gate = asyncio.Event()
    export = bench.destination.export

    async def slow(row):
        await gate.wait()
        return await export(row)

    bench.destination.export = slow
    await bench.start()
    bench.sender.stop()
    await settle()
    gate.set()
    await asyncio.wait_for(bench.task, 1)
    assert bench.spool.settled == [(1, 3, 0, [])]


async def test_stop_while_the_spool_fails_ends():
    """A spool that fails can't keep a stopped sender from ending."""
    bench = Bench(Destination(), make_row(1))
    bench.spool.faults = [SpoolError("gone")] * 1000
    await bench.start()
    bench.sender.stop()
    await asyncio.wait_for(bench.task, 1)
    assert bench.spool.settled == []


@pytest.mark.parametrize("steps", range(30))
async def test_cancelled_anywhere_nothing_is_lost(steps):
    """Wherever a cancellation falls, each row is either settled or still there, and a new sender delivers the rest."""
    rows = [make_row(1, 8, 100), make_row(2), make_row(3)]
    bench = Bench(Destination(None, RejectedError("HTTP 400"), limit=300), *rows)
    bench.task = asyncio.ensure_future(bench.sender.run())
    for _ in range(steps):
        await asyncio.sleep(0)
    await bench.cancel()
    settled = [row[0] for row in bench.spool.settled]
    assert settled + [row.seq for row in bench.spool.rows] == [1, 2, 3]
    again = Bench(Destination(limit=300), *bench.spool.rows)
    await again.drain()
    assert settled + [row[0] for row in again.spool.settled] == [1, 2, 3]


async def test_no_task_is_left_behind():
    """After a cancelled wait nothing of the sender runs on."""
    before = asyncio.all_tasks()
    bench = Bench(Destination(RetryableError("HTTP 503")), make_row(1))
    await bench.start()
    await bench.cancel()
    assert asyncio.all_tasks() == before


async def test_retry_now_cuts_the_wait_short():
    """When the destination is reported to be back, the sender tries at once."""
    bench = Bench(Destination(PausedError("HTTP 403")), make_row(1))
    await bench.start()
    bench.sender.retry_now()
    await settle()
    assert [row[0] for row in bench.spool.settled] == [1]
    await bench.cancel()


# --- events ----------------------------------------------------------------------------------------------------------------------------


async def test_the_state_tells_the_truth():
    """Attempts, consecutive failures, last success and last error are what happened."""
    bench = Bench(Destination(RetryableError("HTTP 503"), RetryableError("timeout")), make_row(1))
    await bench.start()
    status = bench.sender.status
    assert (status.state, status.attempts, status.failures, status.last_error) == (State.RETRYING, 1, 1, "HTTP 503")
    assert status.last_success is None
    await bench.clock.advance(10.0)
    assert (status.state, status.attempts, status.failures, status.last_error) == (State.OK, 3, 0, "timeout")
    assert status.last_success == 1.5
    assert status.last_success_ns == bench.clock.wall_ns() - 8_500_000_000
    await bench.cancel()


async def test_recovery_is_told_once():
    """One event marks the end of a time of failures, none a success in good times."""
    bench = Bench(Destination(RetryableError("HTTP 503")), make_row(1), make_row(2))
    await bench.start()
    await bench.clock.advance(1.0)
    assert bench.telemetry.of(ExportRecovered) == [ExportRecovered("there", "logs")]
    await bench.cancel()


async def test_attempts_are_measured_by_outcome():
    """Each attempt is in the histogram once, under what came of it."""
    script = (RetryableError("x"), RejectedError("x"), TooLargeError("x"), None)
    bench = Bench(Destination(*script), make_row(1), make_row(2, 1, 500), make_row(3))
    await bench.start()
    await bench.clock.advance(1.0)
    [resource] = bench.metrics.collect().resource_metrics
    [metric] = [one for one in resource.scope_metrics[0].metrics if one.name == "outrider.export.duration"]
    counts = {point.attributes["outcome"]: point.count for point in metric.data.data_points}
    assert counts == {"failed": 1, "rejected": 1, "too_large": 1, "accepted": 1}
    await bench.cancel()


async def test_the_state_is_published_while_the_sender_runs():
    """Both exits see the destination's state change with each attempt, and nothing of it once the sender is gone."""
    bench = Bench(Destination(RetryableError("HTTP 503")), make_row(1))
    seen = []
    for step in (bench.start, lambda: bench.clock.advance(1.0), bench.cancel):
        await step()
        seen.append({one.metric.name.rpartition(".")[2]: one.value for one in bench.metrics.published("sender there logs")})
    assert [found.get("up") for found in seen] == [0.0, 1.0, None]
    assert [found.get("consecutive_failures") for found in seen] == [1, 0, None]
    assert "last_success" not in seen[0]
    assert seen[1]["last_success"] == 1_700_000_000.5


def test_observations_are_the_state_in_figures():
    """Both exits get: up, attempts, consecutive failures, and the last success once there was one."""
    state = DestinationState("there", Signal.LOGS)
    assert {one.metric.name: one.value for one in state.observations()} == {
        "outrider.destination.up": 1.0,
        "outrider.destination.attempts": 0,
        "outrider.destination.consecutive_failures": 0,
    }
    state.succeeded(1.0, 5_000_000_000)
    state.failed(State.PAUSED, "HTTP 401", 6_000_000_000)
    found = {one.metric.name: one.value for one in state.observations()}
    assert (found["outrider.destination.up"], found["outrider.destination.last_success"]) == (0.0, 5.0)
    assert all(one.attributes == {"destination": "there", "signal": "logs"} for one in state.observations())


def test_crash_points_are_known():
    """Every point that delivery passes is in the register."""
    from agent.crash import POINTS

    assert {f"delivery.{name}" for name in ("before_send", "after_send", "after_answer", "before_settle")} <= POINTS


async def test_what_an_exporter_remembers_is_settled_with_the_row():
    """Positions of an answer, good or bad, are stored with the cursor's move; the latest holds."""
    refusal = RejectedError("no", positions={"b": b"2"})
    bench = Bench(
        Destination(Accepted(positions={"a": b"1"}), refusal, Accepted(positions={"a": b"3"})), make_row(1), make_row(2), make_row(3)
    )
    await bench.drain()
    assert bench.spool.remembered == {"a": b"3", "b": b"2"}
