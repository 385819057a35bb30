"""Stateless seeded randomness: a draw depends on its seed and its name, never on who drew before.

A sequential generator makes the outcome of an order depend on the arrival of all orders before it, and arrival
over a network is not repeatable. Here order 17 of seed 7 is rejected in every run, or in none.
"""

from __future__ import annotations

from hashlib import blake2b
from statistics import NormalDist

_STANDARD_NORMAL = NormalDist()
_STEPS = 2**52


def uniform(*name: object) -> float:
    """Return a number in (0, 1) that is a pure function of ``name``."""
    digest = blake2b("\x1f".join(map(str, name)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / _STEPS


def normal(*name: object) -> float:
    """Return a standard normal number that is a pure function of ``name``."""
    return _STANDARD_NORMAL.inv_cdf(uniform(*name))


def happens(ratio: float, *name: object) -> bool:
    """Say whether an event of probability ``ratio`` happens under ``name``."""
    return uniform(*name) < ratio
