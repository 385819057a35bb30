"""Faults on demand: what an observer must be able to see, made to happen at a known time.

Written ``NAME[@START][:ARGUMENT]``, for example ``broker-down@20s:10s``. START is the time after the service
started, 5 s if not given.

| name | what happens | argument |
|---|---|---|
| hang | the event loop blocks: nothing answers, SIGTERM included | duration; for ever if not given |
| crash | an unhandled exception ends the process with exit code 1 | none |
| oom | memory grows until the kernel kills, or by this much and a MemoryError ends it | MB; 512 if not given |
| stall | no tick is handled; /health still answers 200, with an old last_tick_at | duration; for ever if not given |
| error-burst | exceptions are caught and logged; trading goes on | how many; 10 if not given |
| broker-down | the first broker cuts its connections, refuses new ones, comes back | duration; 10 s if not given |
"""

import asyncio
import time
from argparse import ArgumentTypeError
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

from msgspec import Struct
from structlog.stdlib import get_logger

from strategy_agent.config import Fault, between, parse_duration

DEFAULT_START = 5.0
MEGABYTE = 1024 * 1024
OOM_STEP_MB = 16
FOREVER = 1e9
"""Seconds that outlast any process, and that a clock can still add."""

log = get_logger(__name__)


class InjectedCrashError(RuntimeError):
    """The crash that was asked for."""


class PositionMismatchError(Exception):
    """Our position differs from the broker's."""


@dataclass(frozen=True, slots=True)
class Target:
    """What faults act upon: how to send the first broker away, and how to stall the agent."""

    outage: Callable[[float], Awaitable[None]]
    stall: Callable[[float], None]


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


async def _hang(argument: float, _: Target) -> None:
    time.sleep(min(argument, FOREVER))  # noqa: ASYNC251 - blocking the loop is the fault


async def _crash(_: float, __: Target) -> None:
    raise InjectedCrashError("crash on demand")


async def _oom(argument: float, _: Target) -> None:
    hoard: list[bytearray] = []
    while len(hoard) * OOM_STEP_MB < argument:
        block = bytearray(OOM_STEP_MB * MEGABYTE)
        block[::4096] = b"\x01" * len(block[::4096])  # untouched pages are not memory
        hoard.append(block)
        await asyncio.sleep(0.05)
    raise MemoryError(f"gave up at {len(hoard) * OOM_STEP_MB} MB")


async def _stall(argument: float, target: Target) -> None:
    target.stall(argument)
    await asyncio.sleep(argument)


async def _error_burst(argument: float, _: Target) -> None:
    for number in range(1, int(argument) + 1):
        try:
            _reconcile({"position": f"{number}.5 BTC"})
        except PositionMismatchError:
            log.exception("reconciliation_failed", number=number)
        await asyncio.sleep(0.02)


def _reconcile(report: dict[str, str]) -> float:
    try:
        return float(report["position"])
    except ValueError as error:
        raise PositionMismatchError("the broker's position cannot be read") from error


async def _broker_down(argument: float, target: Target) -> None:
    await target.outage(argument)


def _nothing(text: str) -> float:
    raise ArgumentTypeError(f"this fault takes no argument, got {text!r}")


class Kind(Struct, frozen=True):
    """How a fault's argument is read, what it is if absent, and what the fault does."""

    parse: Callable[[str], float]
    default: float
    run: Callable[[float, Target], Awaitable[None]]


KINDS = {
    "hang": Kind(parse_duration, inf, _hang),
    "crash": Kind(_nothing, 0.0, _crash),
    "oom": Kind(between(int, 16, 65536, "MB"), 512.0, _oom),
    "stall": Kind(parse_duration, inf, _stall),
    "error-burst": Kind(between(int, 1, 10_000, "exceptions"), 10.0, _error_burst),
    "broker-down": Kind(parse_duration, 10.0, _broker_down),
}
"""The faults by name."""
