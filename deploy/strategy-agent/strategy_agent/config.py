"""What the service can be told, and how durations and symbol lists are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strategy_agent.faults import Fault

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,31}")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One run. ``rate`` in ticks per second over all symbols, ``duration`` in seconds, ``port`` 0 for any free one."""

    scenario: str = "flash-crash"
    seed: int = 7
    rate: float = 200.0
    symbols: tuple[str, ...] = ("BTC-USD", "ETH-USD")
    brokers: int = 2
    host: str = "127.0.0.1"
    port: int = 8090
    duration: float | None = None
    log_file: Path | None = None
    log_level: str = "info"
    redis_url: str | None = None
    faults: tuple[Fault, ...] = ()
    oom_limit_mb: int = 512


def parse_duration(text: str) -> float:
    """Return seconds for ``250ms``, ``20s``, ``1.5m``, ``1h`` or a bare number of seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write 250ms, 20s, 1.5m or 1h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def parse_symbols(text: str) -> tuple[str, ...]:
    """Return the symbols of a comma-separated list: 1 to 20 of them, without repetition."""
    symbols = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    wrong = [symbol for symbol in symbols if not _SYMBOL.fullmatch(symbol)]
    if wrong or not 1 <= len(symbols) <= 20:
        raise ValueError(f"{text!r} is not a list of 1 to 20 symbols like BTC-USD,ETH-USD")
    return symbols
