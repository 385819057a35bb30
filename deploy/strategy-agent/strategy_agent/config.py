"""The configuration of the service, and how durations and numbers are written.

The parsers raise ``argparse.ArgumentTypeError`` with what is wrong, which is what a command line then shows.
"""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

N = TypeVar("N", int, float)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Fault(Struct, frozen=True):
    """A fault, when it happens (seconds after the start), its checked argument, and how it was asked for."""

    name: str
    start: float
    argument: float
    asked: str


class ServiceConfig(Struct, frozen=True):
    """One run. ``rate`` in ticks per second over all symbols, ``port`` 0 for any free one.

    ``kill_switch`` is the file that stops trading; without one a restart forgets that it was tripped.
    """

    scenario: str = "flash-crash"
    seed: int = 7
    rate: float = 200.0
    host: str = "127.0.0.1"
    port: int = 8090
    log_file: Path | None = None
    kill_switch: Path | None = None
    redis_url: str | None = None
    faults: tuple[Fault, ...] = ()


def parse_duration(text: str) -> float:
    """Return seconds for ``250ms``, ``20s``, ``1.5m``, ``1h`` or a bare number of seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a duration; write 250ms, 20s, 1.5m or 1h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def between(kind: type[N], low: N, high: N, unit: str) -> Callable[[str], N]:
    """Return a parser of numbers within these bounds, which are included."""

    def parse(text: str) -> N:
        try:
            value = kind(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error
        if not low <= value <= high:
            raise ArgumentTypeError(f"{text} is not within {low:g} and {high:g} {unit}")
        return value

    return parse
