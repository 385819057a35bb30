"""The conformance suite: rules that every component must keep, ours and those of other packages.

Describe a component by a case, and run its checks inside a test:

    @pytest.mark.parametrize("check", conformance.SOURCE_CHECKS, ids=lambda check: check.__name__)
    async def test_my_source(check, tmp_path):
        await conformance.run(check, SourceCase(make, feed, expected))

`run` also holds the check to leaving nothing behind: no task, no thread, no file descriptor. A check raises AssertionError with the sentence
that does not hold.
"""
# ruff: noqa: S101 - to assert is what this module is for

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, cast

from agent.component import Finishing, Verbatim
from agent.errors import SpoolError
from agent.metrics import checked
from agent.testing.context import make_context
from agent.testing.sink import Sink, contents, hang

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from agent.component import Context, Exporter, Probe, Sampler, Source
    from agent.record import Row, Value

T = TypeVar("T")

PROMPT: Final = 2.0
"""Seconds within which a cancelled component has ended."""
PATIENCE: Final = 20.0
"""Seconds within which what was fed has arrived."""
GRACE: Final = 1.0
"""Seconds after which nothing may be left: a server within the test needs a moment to see that its peer has gone."""
SHORT: Final = 0.05
"""Seconds of real time in which a component gets somewhere."""


@dataclass(frozen=True, slots=True)
class SourceCase:
    """A source: how it is made, how it is given something to read, and what must come of it."""

    make: Callable[[Context], Source]
    """Makes it again on the same input. One that isn't replayable is made once per check."""
    feed: Callable[[], None]
    """Gives it `expected` to read; called once, before the first run."""
    expected: Sequence[Value]
    """The bodies of the records, in order; of a source that emits requests what `sink.contents` makes of them."""


@dataclass(frozen=True, slots=True)
class SamplerCase:
    """A sampler that has something to read."""

    make: Callable[[Context], Sampler]


@dataclass(frozen=True, slots=True)
class ProbeCase:
    """A probe whose target never answers."""

    make: Callable[[Context], Probe]


@dataclass(frozen=True, slots=True)
class ExporterCase:
    """An exporter: towards a destination that takes everything, and towards one that never answers."""

    make: Callable[[Context], Exporter]
    row: Row
    """A row that the destination takes."""
    make_hanging: Callable[[Context], Exporter] | None = None
    """None if the destination can't hang (a regular file)."""


async def run(check: Callable[[T], Awaitable[None]], case: T) -> None:
    """Run one check, and hold it to leaving nothing behind."""
    gc.collect()
    tasks, threads, files = asyncio.all_tasks(), set(threading.enumerate()), descriptors()
    await check(case)
    gc.collect()
    end = asyncio.get_running_loop().time() + GRACE
    while _left_behind(tasks, threads, files) and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 - there is no notification
        await asyncio.sleep(0.01)
    left = _left_behind(tasks, threads, files)
    assert not left, f"it leaves nothing behind: {', '.join(left)}"


def _left_behind(tasks: set[asyncio.Task[object]], threads: set[threading.Thread], files: dict[int, str]) -> list[str]:
    """Tasks, threads and files that were not there before, except the event loop's own threads."""
    return [
        *(repr(task) for task in asyncio.all_tasks() - tasks if not task.done()),
        *(repr(thread) for thread in threading.enumerate() if thread not in threads and not thread.name.startswith("asyncio_")),
        *(f"descriptor of {target}" for number, target in descriptors().items() if files.get(number) != target),
    ]


def descriptors() -> dict[int, str]:
    """The open descriptors of this process, with what they lead to."""
    found: dict[int, str] = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found[int(entry.name)] = str(entry.readlink())
    return found


async def stop(task: asyncio.Task[T]) -> None:
    """Cancel, and see that the cancellation passes promptly."""
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PROMPT)
    assert done, f"it ends within {PROMPT} s of being cancelled"
    assert task.cancelled() or task.exception() is None, f"it ends without an error when cancelled: {task.exception()!r}"


async def _run_for(work: Coroutine[object, object, T], seconds: float) -> asyncio.Task[T]:
    """Start something and let it go on for a while."""
    task: asyncio.Task[T] = asyncio.get_running_loop().create_task(work)
    await asyncio.wait([task], timeout=seconds)
    return task


# -- all kinds --


async def closes_unstarted(case: SourceCase | SamplerCase | ProbeCase | ExporterCase) -> None:
    """It can be made without opening anything, and closed, and closed again, without ever having been started."""
    before = descriptors()
    component = case.make(make_context())
    assert descriptors() == before, "making it opens nothing"
    await component.close()
    await component.close()


# -- sources --


async def source_starts_and_stops(case: SourceCase) -> None:
    """It runs, is cancelled, and is closed twice."""
    sink = Sink()
    source = case.make(make_context(positions=sink.positions))
    await stop(await _run_for(source.run(sink.emit), SHORT))
    await source.close()
    await source.close()


async def source_stops_while_hanging(case: SourceCase) -> None:
    """It ends promptly though the next stage never answers."""
    case.feed()
    source = case.make(make_context())
    await stop(await _run_for(source.run(hang), SHORT))
    await source.close()


async def source_reads_everything(case: SourceCase) -> None:
    """All its input arrives, once and in order."""
    await _collect(case, Sink(), restart=False)


async def source_survives_refusals(case: SourceCase) -> None:
    """Nothing is lost or repeated though the next stage refuses every other batch, at random."""
    chance = random.Random(20)  # noqa: S311 - a seeded test
    await _collect(case, Sink(lambda: chance.random() < 0.5), restart=False)


async def source_survives_restarts(case: SourceCase) -> None:
    """Although it is killed at random and made again, nothing is lost or repeated, if its input can be read again."""
    source = case.make(make_context())
    replayable = source.replayable
    await source.close()
    if replayable:
        chance = random.Random(21)  # noqa: S311 - a seeded test
        await _collect(case, Sink(lambda: chance.random() < 0.3), restart=True)


async def source_finishes(case: SourceCase) -> None:
    """Asked at the end, it reads what is there and leaves nothing unread, if it can be asked; what is committed it does not repeat."""
    case.feed()
    sink = Sink()
    source = case.make(make_context(positions=sink.positions))
    if isinstance(source, Finishing):
        before = await source.unread()
        async with asyncio.timeout(PATIENCE):
            for _ in range(2):
                await source.finish(sink.emit)
        assert sink.bodies == list(case.expected), "it delivers each record once, in order"
        assert (await source.unread()).bytes < before.bytes, "it knows how much it has not read"
    await source.close()


async def source_can_be_searched(case: SourceCase) -> None:
    """Its encoded payloads can be searched for secrets and errors, or its class says in a sentence why that is not needed."""
    case.feed()
    sink = Sink()
    source = case.make(make_context(positions=sink.positions))
    if isinstance(source, Verbatim):
        assert source.verbatim.strip().endswith("."), "it says in a sentence why what it emits is stored as it is"
    else:
        await _one_run(source, sink, len(case.expected))
        assert all(isinstance(contents(payload), list) for payload in sink.payloads)
    await source.close()


async def _collect(case: SourceCase, sink: Sink, *, restart: bool) -> None:
    """Feed it, and run it again and again until everything has arrived; then see that it was exactly that."""
    case.feed()
    source = case.make(make_context(positions=sink.positions))
    async with asyncio.timeout(PATIENCE):
        while len(sink.bodies) < len(case.expected):
            await _one_run(source, sink, len(sink.bodies) + 1 if restart else len(case.expected))
            if restart:
                await source.close()
                source = case.make(make_context(positions=sink.positions))
    sink.refuse = lambda: False
    await stop(await _run_for(source.run(sink.emit), SHORT))  # time to repeat something, were it so inclined
    await source.close()
    assert sink.bodies == list(case.expected), "it delivers each record once, in order"


async def _one_run(source: Source, sink: Sink, enough: int) -> None:
    """Run until it fails, or until enough records have arrived."""
    task = asyncio.get_running_loop().create_task(cast("Coroutine[object, object, None]", source.run(sink.emit)))
    arrived = asyncio.get_running_loop().create_task(_wait(sink, enough))
    await asyncio.wait([task, arrived], return_when=asyncio.FIRST_COMPLETED)
    for running in (task, arrived):
        running.cancel()
    outcomes = await asyncio.gather(task, arrived, return_exceptions=True)
    wrong = [error for error in outcomes if isinstance(error, Exception) and not _refusal(error)]
    assert not wrong, f"it raises nothing but what the next stage raised: {wrong}"


async def _wait(sink: Sink, count: int) -> None:
    while len(sink.bodies) < count:
        sink.arrived.clear()
        await sink.arrived.wait()


def _refusal(error: BaseException) -> bool:
    """Whether it is the refusal of the sink, perhaps inside groups."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_refusal, error.exceptions))
    return isinstance(error, SpoolError)


# -- samplers --


async def sampler_samples(case: SamplerCase) -> None:
    """It returns figures, again and again, is closed twice, and may store what it keeps."""
    sink = Sink()
    sampler = case.make(replace(make_context(positions=sink.positions), emit=sink.emit))
    for when in ("at once", "again"):
        found = sampler.sample()
        assert checked(await found if isinstance(found, Awaitable) else found), f"it has figures {when}"
    await sampler.close()
    await sampler.close()


# -- probes --


async def probe_stops_while_hanging(case: ProbeCase) -> None:
    """It ends promptly though the target never answers, and can be asked again."""
    probe = case.make(make_context())
    assert probe.target, "it says what it looks at"
    for _ in range(2):
        await stop(await _run_for(cast("Coroutine[object, object, object]", probe.probe()), SHORT))
    await probe.close()
    await probe.close()


# -- exporters --


async def exporter_delivers(case: ExporterCase) -> None:
    """It delivers a row of a kind that it takes, and is closed twice."""
    exporter = case.make(make_context())
    assert case.row.signal in exporter.signals, "it says which kinds it takes"
    answer = await exporter.export(case.row)
    assert answer.rejected == 0, "a good row is accepted whole"
    await exporter.close()
    await exporter.close()


async def exporter_stops_while_hanging(case: ExporterCase) -> None:
    """It ends promptly though the destination never answers."""
    if case.make_hanging is None:
        return
    exporter = case.make_hanging(make_context())
    task = await _run_for(cast("Coroutine[object, object, object]", exporter.export(case.row)), SHORT)
    assert not task.done(), "it waits for the answer"
    await stop(task)
    await exporter.close()


SOURCE_CHECKS: Final = (
    closes_unstarted,
    source_starts_and_stops,
    source_stops_while_hanging,
    source_reads_everything,
    source_survives_refusals,
    source_survives_restarts,
    source_finishes,
    source_can_be_searched,
)
SAMPLER_CHECKS: Final = (closes_unstarted, sampler_samples)
PROBE_CHECKS: Final = (closes_unstarted, probe_stops_while_hanging)
EXPORTER_CHECKS: Final = (closes_unstarted, exporter_delivers, exporter_stops_while_hanging)
