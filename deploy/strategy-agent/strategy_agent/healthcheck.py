"""Asks a running agent how it is: a health check for images without curl."""

from __future__ import annotations

import time
from http.client import HTTPException
from urllib.request import urlopen

from msgspec import Struct

from strategy_agent.model import WireError, decode


class Progress(Struct, frozen=True):
    """What the check reads of ``/health``."""

    last_tick_at: float | None


def check_health(url: str, *, timeout: float, max_tick_age: float | None = None) -> str | None:
    """Return what is wrong with the service at ``url``, or None."""
    try:
        with urlopen(url, timeout=timeout) as response:  # noqa: S310 - the scheme is checked by the caller
            progress = decode(response.read(), Progress)
    except (OSError, HTTPException, WireError) as error:
        return f"no answer from {url}: {error}"
    return None if max_tick_age is None else stale(progress.last_tick_at, time.time(), max_tick_age)


def stale(last_tick_at: float | None, now: float, max_tick_age: float) -> str | None:
    """Return what is wrong with the last tick, or None; all in Unix seconds."""
    if last_tick_at is None:
        return "no tick yet"
    age = now - last_tick_at
    return f"last tick {age:.1f} s ago, more than {max_tick_age:g} s" if age > max_tick_age else None
