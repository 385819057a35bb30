"""Faults on demand: what an observer must be able to see, made to happen at a known time.

Written ``NAME[@START][:ARGUMENT]``, for example ``broker-down@20s:10s``. START is the time after the service
started, 5 s if not given.

| name | what happens | argument |
|---|---|---|
| hang | the event loop blocks: nothing answers, SIGTERM included | duration; for ever if not given |
| crash | an unhandled exception ends the process with exit code 1 | or a signal's name: killed by it |
| oom | memory grows until the kernel kills, or until --oom-limit-mb ends it with a MemoryError | none |
| stall | no tick is handled; /health still answers 200, with an old last_tick_at | duration; for ever if not given |
| error-burst | exceptions are caught and logged; trading goes on | how many; 10 if not given |
| broker-down | the first broker cuts its connections, refuses new ones, comes back | duration; 10 s if not given |
"""

from __future__ import annotations

import asyncio
import signal
import time
from argparse import ArgumentTypeError
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from msgspec import Struct
from structlog.stdlib import get_logger

from strategy_agent.config import Fault, between, parse_duration

DEFAULT_START = 5.0
MEGABYTE = 1024 * 1024
OOM_STEP_MB = 16
OOM_PAUSE = 0.05
BURST_PAUSE = 0.02
FOREVER = 1e9
"""Seconds that no process sees the end of, and that a clock can still be told."""

DEADLY = tuple(f"SIG{name}" for name in ("SEGV", "ABRT", "BUS", "FPE", "ILL", "KILL", "TERM", "INT", "QUIT", "HUP"))
"""Signals that kill who does not handle them; the crash fault takes the handler away."""

log = get_logger(__name__)


class InjectedCrashError(RuntimeError):
    """The crash that was asked for."""


class PositionMismatchError(Exception):
    """Our position differs from the broker's."""


@dataclass(frozen=True, slots=True)
class Target:
    """What faults act upon: how to send the first broker away, how to stall the agent, and when memory is enough."""

    outage: Callable[[float], Awaitable[None]]
    stall: Callable[[float], None]
    oom_limit_mb: int


def parse_fault(text: str) -> Fault:
    """Read ``NAME[@START][:ARGUMENT]``; raises ``argparse.ArgumentTypeError`` with what is wrong."""
    head, _, argument = text.partition(":")
    name, _, start = head.partition("@")
    if name not in KINDS:
        raise ArgumentTypeError(f"no fault {name!r}; there are {', '.join(KINDS)}")
    kind = KINDS[name]
    begin = parse_duration(start) if start else DEFAULT_START
    return Fault(name, begin, kind.parse(argument) if argument else kind.default, text)


async def run_fault(fault: Fault, target: Target) -> None:
    """Make a fault happen at its time; returns when it is over."""
    await asyncio.sleep(fault.start)
    log.warning("fault_injected", fault=fault.name, asked=fault.asked)
    await KINDS[fault.name].run(fault.argument, target)
    log.info("fault_over", fault=fault.name)


async def _hang(argument: float | str, _: Target) -> None:
    time.sleep(min(float(argument), FOREVER))  # noqa: ASYNC251 - blocking the loop is the fault


async def _crash(argument: float | str, _: Target) -> None:
    if isinstance(argument, str):
        number = signal.Signals[argument]
        with suppress(OSError):  # SIGKILL has no handler to remove
            signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    raise InjectedCrashError("crash on demand")


async def _oom(_: float | str, target: Target) -> None:
    hoard: list[bytearray] = []
    while len(hoard) * OOM_STEP_MB < target.oom_limit_mb:
        block = bytearray(OOM_STEP_MB * MEGABYTE)
        block[::4096] = b"\x01" * len(block[::4096])  # untouched pages are not memory
        hoard.append(block)
        await asyncio.sleep(OOM_PAUSE)
    raise MemoryError(f"gave up at {len(hoard) * OOM_STEP_MB} MB, see --oom-limit-mb")


async def _stall(argument: float | str, target: Target) -> None:
    target.stall(float(argument))
    await asyncio.sleep(float(argument))


async def _error_burst(argument: float | str, _: Target) -> None:
    for number in range(1, int(argument) + 1):
        try:
            _reconcile({"position": f"{number}.5 BTC"})
        except PositionMismatchError:
            log.exception("reconciliation_failed", number=number)
        await asyncio.sleep(BURST_PAUSE)


def _reconcile(report: dict[str, str]) -> float:
    try:
        return float(report["position"])
    except ValueError as error:
        raise PositionMismatchError("the broker's position cannot be read") from error


async def _broker_down(argument: float | str, target: Target) -> None:
    await target.outage(float(argument))


def _deadly(text: str) -> str:
    if text not in DEADLY:
        raise ArgumentTypeError(f"{text!r} is not one of {', '.join(DEADLY)}")
    return text


def _nothing(text: str) -> float:
    raise ArgumentTypeError(f"this fault takes no argument, got {text!r}")


class Kind(Struct, frozen=True):
    """How a fault's argument is read, what it is if absent, and what the fault does."""

    parse: Callable[[str], float | str]
    default: float
    run: Callable[[float | str, Target], Awaitable[None]]


KINDS = {
    "hang": Kind(parse_duration, inf, _hang),
    "crash": Kind(_deadly, 0.0, _crash),
    "oom": Kind(_nothing, 0.0, _oom),
    "stall": Kind(parse_duration, inf, _stall),
    "error-burst": Kind(between(int, 1, 10_000, "exceptions"), 10.0, _error_burst),
    "broker-down": Kind(parse_duration, 10.0, _broker_down),
}
"""The faults by name."""
