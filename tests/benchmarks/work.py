"""The work that all our figures are about: structlog JSON lines as a trading service writes them, from a seed.

About 300 bytes, 11 to 13 fields, one in a hundred an error with a traceback, half with trace and span ids. `n` numbers them.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = (
    "order_submitted",
    "order_filled",
    "order_cancelled",
    "quote_received",
    "position_updated",
    "signal_computed",
    "heartbeat",
    "risk_checked",
)
LEVELS = ("debug",) * 2 + ("info",) * 16 + ("warning",) * 2
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "AAPL", "MSFT", "NVDA", "EURUSD", "ES-202612")
MODULES = ("engine", "execution", "market_data", "portfolio", "risk")
TRACEBACK = """Traceback (most recent call last):
  File "/app/strategy/execution.py", line {line}, in submit
    response = await self._venue.place(order)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/app/strategy/venue.py", line 88, in place
    raise OrderRejected(reason)
strategy.errors.OrderRejected: {reason}"""
REASONS = ("insufficient margin", "price outside of band", "market closed", "unknown instrument")
START = 1_790_000_000_000_000
"""Microseconds since the epoch of the first line."""


def lines(seed: int, count: int) -> Iterator[bytes]:
    """`count` lines, each with its newline; the same ones for the same seed."""
    chance = random.Random(seed)
    return (json.dumps(fields(chance, number)).encode() + b"\n" for number in range(count))


def fields(chance: random.Random, number: int) -> dict[str, object]:
    """The fields of one line, in structlog's order."""
    failed = chance.random() < 0.01
    made: dict[str, object] = {
        "n": number,
        "symbol": chance.choice(SYMBOLS),
        "order_id": f"{chance.getrandbits(48):012x}",
        "price": round(chance.uniform(10, 60_000), 2),
        "quantity": chance.randrange(1, 500),
        "latency_ms": round(chance.expovariate(0.2), 3),
        "dry_run": chance.random() < 0.5,
        "event": "order_failed" if failed else chance.choice(EVENTS),
        "logger": f"strategy.{chance.choice(MODULES)}",
        "level": "error" if failed else chance.choice(LEVELS),
    }
    if chance.random() < 0.5:
        made["trace_id"] = f"{chance.getrandbits(128) | 1 << 120:032x}"
        made["span_id"] = f"{chance.getrandbits(64) | 1 << 60:016x}"
    if failed:
        made["exception"] = TRACEBACK.format(line=chance.randrange(40, 400), reason=chance.choice(REASONS))
    made["timestamp"] = timestamp(START + number * 37)
    return made


def timestamp(microseconds: int) -> str:
    """ISO 8601 with microseconds and `Z`, as structlog's `TimeStamper(fmt="iso")` writes it."""
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(microseconds // 1_000_000, tz=UTC).replace(microsecond=microseconds % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
