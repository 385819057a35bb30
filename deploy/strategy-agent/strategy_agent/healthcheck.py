"""Asks a running agent how it is: a health check for images without curl. Standard library only, to start quickly."""

from __future__ import annotations

import time
from http.client import HTTPException
from urllib.request import urlopen

from strategy_agent import wire


def check_health(url: str, *, timeout: float, max_tick_age: float | None = None) -> str | None:
    """Return what is wrong with the service at ``url``, or None."""
    try:
        with urlopen(url, timeout=timeout) as response:  # noqa: S310 - the scheme is checked by the caller
            health = wire.parse(response.read())
    except (OSError, HTTPException, wire.WireError) as error:
        return f"no answer from {url}: {error}"
    return None if max_tick_age is None else _stale(health, time.time(), max_tick_age)


def _stale(health: wire.Json, now: float, max_tick_age: float) -> str | None:
    try:
        age = now - wire.number(health, "last_tick_at")
    except wire.WireError:
        return "no tick yet"
    return f"last tick {age:.1f} s ago, more than {max_tick_age:g} s" if age > max_tick_age else None
