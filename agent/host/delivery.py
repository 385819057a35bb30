"""The sender host: takes rows from the spool to a destination, one sender per (destination, signal), so that none waits for another.

    next row ──▶ attempt ──▶ accepted / refused for good ──▶ settle: cursor, ledger and dead letters in one transaction ──▶ next row
       ▲            ▲ └───▶ not now: wait (back-off, the time it asks for, or a minute if it refuses us) ──┘
       │            └─────── too large: halve it; both halves, in order, down to the one record that does not fit
       └── nothing there: wait for a commit

A row is settled only when all of it has found its end. Whatever happens before (a stop, a cancellation, a crash) leaves the cursor where it
was: the row is sent again, as the same bytes, halves included.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from typing import TYPE_CHECKING, Final, TypeVar

from agent.component import Accepted
from agent.crash import crash_point
from agent.errors import PausedError, RejectedError, RetryableError, SpoolError, TooLargeError, describe
from agent.host.delivery_state import (
    DestinationState,
    DestinationWarned,
    ExportDelayed,
    ExportPaused,
    ExportRecovered,
    RecordsRefused,
    State,
)
from agent.host.row_parts import LearnedLimit, Tally, halve_row
from agent.host.supervise import failing_if_not_cancelled
from agent.metrics import Kind, Metric
from agent.retry import Backoff
from agent.spool.values import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from agent.clock import Clock
    from agent.component import Exporter
    from agent.metrics import Metrics
    from agent.record import Row, Signal
    from agent.spool.spool import Spool
    from agent.telemetry import Telemetry

T = TypeVar("T")

PAUSE: Final = 60.0
"""Seconds between two tries while a destination refuses us."""

EXPORT_SECONDS: Final = Metric(
    "outrider.export.duration",
    Kind.HISTOGRAM,
    "s",
    "Time of one attempt to deliver, by outcome.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Sender:
    """Delivers the rows of one signal to one destination, in order. `run` ends only when asked to."""

    def __init__(
        self,
        exporter: Exporter,
        signal: Signal,
        *,
        destination: str,
        spool: Spool,
        clock: Clock,
        telemetry: Telemetry,
        metrics: Metrics,
        backoff: Backoff = Backoff(),  # noqa: B008 - frozen
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.status = DestinationState(destination, signal)
        self._exporter = exporter
        self._signal = signal
        self._destination = destination
        self._spool = spool
        self._clock = clock
        self._telemetry = telemetry
        self._metrics = metrics
        self._backoff = backoff
        self._chance = chance
        self._owner = f"sender {destination} {signal}"
        self._limit = LearnedLimit()
        self._nudged = asyncio.Event()
        self._draining = False
        self._last_attempt = False
        """Whether the destination had failed already when the end began: it gets one more attempt."""
        self._stopped = False

    async def run(self) -> None:
        """Deliver until `drain` finds nothing left, `stop` is called, or it is cancelled."""
        self._publish()
        try:
            await self._deliver_all()
        finally:
            self._metrics.publish(self._owner, ())

    async def _deliver_all(self) -> None:
        while not self._stopped:
            row = await self._insist(lambda: self._spool.next_row(self._destination, self._signal))
            if row is not None:
                await self._deliver(row)
            elif self._draining:
                return
            elif not self._stopped:
                await self._wait(self._spool.wait_for_rows(self._destination, self._signal))

    def drain(self) -> None:
        """End when everything stored is delivered. A row that waits for its next attempt is tried at once; if that fails, end.

        The caller sets the deadline.
        """
        self._draining, self._last_attempt = True, self.status.state is not State.OK
        self._nudged.set()

    def stop(self) -> None:
        """End after the attempt that is under way, without another."""
        self._stopped = True
        self._nudged.set()

    def retry_now(self) -> None:
        """End a wait early: the destination works again, as the user reports."""
        self._nudged.set()

    async def _deliver(self, row: Row) -> None:
        """Bring one row to its end and settle it; leave it untouched if stopped before."""
        tally, parts = Tally(), [row]
        while parts:
            part = parts.pop()
            if halves := self._known_too_large(part):
                parts += reversed(halves)
                continue
            answer = await self._offer(part)
            if answer is None:
                return
            if isinstance(answer, Accepted):
                tally.accept(part.records, answer)
            elif isinstance(answer, TooLargeError) and (halves := halve_row(part)):
                parts += reversed(halves)
            else:
                tally.positions |= answer.positions
                tally.dead.append(DeadLetter(answer.reason, part.records, None if part is row else zlib.decompress(part.body, wbits=31)))
        await self._settle(row, tally)

    def _known_too_large(self, part: Row) -> tuple[Row, Row] | None:
        return halve_row(part) if self._limit.exceeded(part, self._clock.monotonic()) else None

    async def _offer(self, part: Row) -> Accepted | RejectedError | None:
        """Try until there is a final answer; None if stopped before."""
        while not self._stopped:
            crash_point("delivery.before_send")
            try:
                accepted = await self._attempt(part)
            except RejectedError as error:
                self._note_refusal(part, error)
                return error
            except RetryableError as error:
                await self._wait_before_retry(error)
            except Exception as error:  # noqa: BLE001 - the host of exporters: a bug in one must not lose a row, nor end the others
                await self._wait_before_retry(RetryableError(f"the exporter failed unexpectedly: {describe(error)}"))
            else:
                crash_point("delivery.after_answer")
                self._note_success(accepted)
                return accepted
        return None

    async def _attempt(self, part: Row) -> Accepted:
        """One attempt, measured."""
        self.status.attempts += 1
        start, outcome = self._clock.monotonic(), "failed"
        try:
            with failing_if_not_cancelled():
                accepted = await self._exporter.export(part)
            outcome = "accepted"
        except RejectedError as error:
            outcome = "too_large" if isinstance(error, TooLargeError) else "rejected"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            labels = {"destination": self._destination, "signal": self._signal.value, "outcome": outcome}
            self._metrics.record(EXPORT_SECONDS, self._clock.monotonic() - start, labels)
        return accepted

    def _publish(self) -> None:
        self._metrics.publish(self._owner, self.status.observations())

    def _note_success(self, accepted: Accepted) -> None:
        self._note_answer(recovered=self.status.succeeded(self._clock.monotonic(), self._clock.wall_ns()))
        if accepted.message and not accepted.rejected:
            self._telemetry.emit(DestinationWarned(self._destination, self._signal, accepted.message))

    def _note_refusal(self, part: Row, error: RejectedError) -> None:
        if isinstance(error, TooLargeError):
            self._limit.learn(part, self._clock.monotonic())
        self._note_answer(recovered=self.status.refused(error.reason, self._clock.wall_ns()))

    def _note_answer(self, *, recovered: bool) -> None:
        self._publish()
        if recovered:
            self._telemetry.emit(ExportRecovered(self._destination, self._signal))

    async def _wait_before_retry(self, error: RetryableError) -> None:
        paused = isinstance(error, PausedError)
        changed = self.status.failed(State.PAUSED if paused else State.RETRYING, error.reason, self._clock.wall_ns())
        self._publish()
        seconds = self._backoff.delay(self.status.failures, self._chance(), PAUSE if paused else error.after)
        if not paused:
            self._telemetry.emit(ExportDelayed(self._destination, self._signal, error.reason, round(seconds, 2)))
        elif changed:
            self._telemetry.emit(ExportPaused(self._destination, self._signal, error.reason))
        if self._last_attempt:
            self._stopped = True
            return
        await self._wait(self._clock.sleep(seconds))

    async def _settle(self, row: Row, tally: Tally) -> None:
        crash_point("delivery.before_settle")
        settled = await self._insist(lambda: self._book(row, tally))
        if settled:
            self._tell(tally)

    async def _book(self, row: Row, tally: Tally) -> bool:
        await self._spool.settle(
            self._destination, row, sent=tally.sent, rejected=tally.rejected, dead=tally.dead, positions=tally.positions
        )
        return True

    def _tell(self, tally: Tally) -> None:
        if tally.rejected:
            self._telemetry.emit(RecordsRefused(self._destination, self._signal, "rejected", tally.rejected, tally.message))
        for letter in tally.dead:
            self._telemetry.emit(RecordsRefused(self._destination, self._signal, "dead_letter", letter.records, letter.reason))

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do something with the spool, again while that fails; None if it failed and we are stopped. What was delivered isn't sent again."""
        attempt = 0
        while True:
            try:
                return await work()
            except SpoolError:  # the spool reports it itself
                attempt += 1
                if self._stopped:
                    return None
                await self._wait(self._clock.sleep(self._backoff.delay(attempt, self._chance())))

    async def _wait(self, until: Awaitable[None]) -> None:
        """Wait for something, or for a nudge."""
        tasks = {asyncio.ensure_future(until), asyncio.ensure_future(self._nudged.wait())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(tasks)
        self._nudged.clear()
        for task in done:
            task.result()


async def _cancel(tasks: Iterable[asyncio.Future[T]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
