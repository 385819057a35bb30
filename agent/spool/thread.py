"""The thread that owns the spool file: it takes jobs from the event loop and commits those that have queued up as one group."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

from agent.errors import OutriderError, SpoolError
from agent.spool.file import NotOpenError
from agent.spool.maintenance import Maintenance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.spool.file import SpoolFile
    from agent.spool.tables import Tables
    from agent.spool.values import SpoolEvent, State

T = TypeVar("T")
GROUP: Final = 64
"""Jobs in one transaction at most."""
PATIENCE: Final = 1.0
"""Seconds without a job before the thread maintains the file anyway."""
BUSY_PATIENCE: Final = 0.02
"""The same while the file is longer than its data."""
CLOSED_PATIENCE: Final = 0.1
"""The same while jobs wait for the file to be opened again."""


class Job(NamedTuple):
    """Something to do with the tables, and who waits for it."""

    work: Callable[[Tables], object]
    writes: bool
    durable: bool
    future: asyncio.Future[object]


class News(NamedTuple):
    """The news for the event loop after each group."""

    results: Sequence[tuple[asyncio.Future[object], object]]
    arrivals: dict[str, int]
    """Signal → how many groups brought rows of it."""
    full: bool
    condition: tuple[State, str] | None
    """Why the file is not open; None while it is."""
    events: Sequence[SpoolEvent]


class SpoolThread:
    """The thread. `listen` is called on the event loop with the news of every group."""

    def __init__(self, open_file: Callable[[threading.Event], SpoolFile], listen: Callable[[News], None]) -> None:
        """Start nothing yet; `start` opens the spool. Needs a running event loop."""
        self._open_file = open_file
        self._listen = listen
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[BaseException | None] = self._loop.create_future()
        """Set when the thread has ended; to the error, if one ended it."""
        self._taken: Sequence[Job | None] = ()
        self._waiting: deque[list[Job]] = deque()
        """Groups that are not done; while the file can't be opened, the first of them may be stored or not."""
        self._reported: tuple[bool, tuple[State, str] | None] = False, None
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    async def start(self) -> None:
        """Open the spool on its thread; raises what opening raised."""
        self._thread.start()
        await self._opened

    async def do(self, work: Callable[[Tables], T], *, writes: bool, durable: bool = False) -> T:
        """Have a job done and return its result. A cancelled caller does not stop the job."""
        if self._closing.is_set():
            raise SpoolError("the spool is closed")
        future: asyncio.Future[object] = self._loop.create_future()
        self._jobs.put(Job(work, writes, durable, future))
        return cast("T", await future)

    async def watch(self) -> None:
        """Return when `stop` has ended the thread; SpoolError if an error has: then nothing is stored any more."""
        error = await asyncio.shield(self._ended)
        if error is not None:
            raise SpoolError(f"the spool's thread has ended: {type(error).__name__}: {error}") from error

    async def stop(self) -> None:
        """Finish what is queued, close the file and end the thread."""
        if not self._closing.is_set():
            self._closing.set()
            self._jobs.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        try:
            self.file = self._open_file(self._closing)
            self._maintenance = Maintenance(self.file)
        except BaseException as error:  # noqa: BLE001 every error belongs to the caller of `start`
            self._call(_fail, self._opened, error)
            self._call(_fulfil, self._ended, None)
            return
        self._call(_fulfil, self._opened, None)
        ended_by: BaseException | None = None
        try:
            while self._serve(self._take()):
                pass
        except BaseException as error:  # noqa: BLE001 the agent must not run on without its store
            ended_by = error
        finally:
            self._closing.set()
            self._dismiss()
            self._call(_fulfil, self._ended, self._close() or ended_by)

    def _close(self) -> BaseException | None:
        try:
            self.file.close()
        except BaseException as error:  # noqa: BLE001 the caller of `watch` gets it
            return error
        return None

    def _dismiss(self) -> None:
        """Fail the jobs that came too late, or were under way; an answer that was given stays."""
        for job in (*self._taken, *itertools.chain.from_iterable(self._waiting)):
            if job is not None:
                self._call(_fail, job.future, SpoolError("the spool has ended"))
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    self._call(_fail, job.future, SpoolError("the spool is closed"))

    def _take(self) -> list[Job | None]:
        """Wait for a job and take what else has queued up; nothing after a while without any."""
        taken: list[Job | None] = []
        with contextlib.suppress(queue.Empty):
            taken.append(self._jobs.get(timeout=self._patience()))
            while len(taken) < GROUP:
                taken.append(self._jobs.get_nowait())
        return taken

    def _patience(self) -> float:
        if self._waiting:
            return CLOSED_PATIENCE
        return BUSY_PATIENCE if self._maintenance.untidy else PATIENCE

    def _serve(self, taken: Sequence[Job | None]) -> bool:
        """Do jobs in order, neighbouring writes as one group; False when the end was asked for."""
        self._taken = taken
        jobs = [job for job in taken if job is not None]
        self._waiting.extend(_groups(jobs))
        self._work_off()
        with contextlib.suppress(SpoolError):  # the file can't be opened now
            self._maintenance.look_after(idle=not taken)
        self._report([])
        return len(jobs) == len(taken)

    def _work_off(self) -> None:
        """Do what waits, in order, until all is done or the file can't be opened."""
        while self._waiting:
            group = self._waiting[0]
            try:
                results = self._perform(group)
            except NotOpenError:
                return
            self._waiting.popleft()
            if results is None:
                self._waiting.extendleft([job] for job in reversed(group))
            else:
                self._report([(job.future, result) for job, result in zip(group, results, strict=True)])

    def _perform(self, group: Sequence[Job]) -> Sequence[object] | None:
        """Do a group; None: one by one. NotOpenError: later, and the same group first."""
        try:
            if group[0].writes:
                return self.file.write_together([job.work for job in group], durable=any(job.durable for job in group))
            return [None if group[0].future.cancelled() else self.file.read(group[0].work)]
        except NotOpenError:
            raise
        except OutriderError as refusal:
            return [refusal] * len(group)
        except Exception as error:  # noqa: BLE001 a programming error must reach the caller, or it waits for ever
            with contextlib.suppress(NotOpenError):
                self.file.forget()
            return [error] * len(group)

    def _report(self, results: Sequence[tuple[asyncio.Future[object], object]]) -> None:
        file = self.file
        condition = None if file.is_open else (file.condition.state, file.condition.reason)
        news = News(results, dict(file.session.arrivals), file.condition.full, condition, file.take_events())
        if results or news.events or (news.full, condition) != self._reported:
            self._reported = news.full, condition
            self._call(self._hear, news)

    def _hear(self, news: News) -> None:
        for future, result in news.results:
            if isinstance(result, BaseException):
                _fail(future, result)
            else:
                _fulfil(future, result)
        self._listen(news)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any more
            self._loop.call_soon_threadsafe(function, *arguments)


def _groups(jobs: Sequence[Job]) -> list[list[Job]]:
    """Split jobs so that each read stands alone and neighbouring writes stand together."""
    groups: list[list[Job]] = []
    for job in jobs:
        if job.writes and groups and groups[-1][-1].writes:
            groups[-1].append(job)
        else:
            groups.append([job])
    return groups


def _fulfil(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
