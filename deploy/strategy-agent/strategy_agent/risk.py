"""Risk tiers per symbol, and the vetoes that follow from them."""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class RiskTier(IntEnum):
    """How dangerous a symbol is: ``HIGH`` lets only reductions pass, ``HALTED`` nothing, and recalls what is sent."""

    LOW = 0
    ELEVATED = 1
    HIGH = 2
    HALTED = 3


class Veto(StrEnum):
    """Why an order was not sent."""

    KILL_SWITCH = "kill_switch"
    STALE_TICK = "stale_tick"
    HALTED = "halted"
    RISK_TIER = "risk_tier"
    WIDE_SPREAD = "wide_spread"
    NO_BOOK = "no_book"


CAUTION = 4 / 3
"""A tier is left only when this many times the danger would not reach it, so that it does not flicker."""

TIERS = ((0.25, 0.4, 0.6), (0.02, 0.05, 0.1), (6e-4, 1.5e-3, 1e-2))
"""Where ``ELEVATED``, ``HIGH`` and ``HALTED`` begin, by each of the :class:`RiskInputs`."""

KILL_DRAWDOWN = 0.1
"""The account's drawdown from which on all trading is stopped, until a person resumes it."""

MAX_TICK_AGE = 1.0
"""Seconds by the venue's clock: an older tick is no ground for an order, nor is one from the future."""

MAX_SPREAD = 0.01
"""Of best bid and best ask, as a fraction of the ask."""


class RiskInputs(NamedTuple):
    """What a tier is decided on: fractions of the equity, and volatility per tick."""

    exposure: float
    drawdown: float
    volatility: float


def risk_tier(inputs: RiskInputs) -> RiskTier:
    """Return the tier: the worst of the three dimensions. A figure that is not a number halts."""
    reached = (sum(not value < step for step in steps) for value, steps in zip(inputs, TIERS, strict=True))
    return RiskTier(max(reached))


def next_tier(current: RiskTier, inputs: RiskInputs) -> RiskTier:
    """Return the tier that follows ``current``: up at once, down only as far as a third more danger would allow."""
    cautious = RiskInputs(*(CAUTION * value for value in inputs))
    return max(risk_tier(inputs), min(current, risk_tier(cautious)))


def veto(tier: RiskTier, *, killed: bool, age: float, reduces: bool) -> Veto | None:
    """Return the reason not to send an order on a tick ``age`` seconds old, or None."""
    if killed:
        return Veto.KILL_SWITCH
    if not abs(age) <= MAX_TICK_AGE:
        return Veto.STALE_TICK
    if tier is RiskTier.HALTED:
        return Veto.HALTED
    if tier is RiskTier.HIGH and not reduces:
        return Veto.RISK_TIER
    return None
