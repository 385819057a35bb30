"""Risk tiers per symbol, the vetoes that follow from them, and the kill switch."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple


class RiskTier(IntEnum):
    """How dangerous a symbol is now. From ``HIGH`` on, only orders that reduce the position pass."""

    LOW = 0
    ELEVATED = 1
    HIGH = 2
    HALTED = 3


class Veto(StrEnum):
    """Why an order was not sent."""

    KILL_SWITCH = "kill_switch"
    RISK_TIER = "risk_tier"
    WIDE_SPREAD = "wide_spread"
    NO_BOOK = "no_book"


CAUTION = 4 / 3
"""A tier is left only when this many times the danger would not reach it, so that it does not flicker."""

TIERS = ((0.25, 0.4, 0.6), (0.02, 0.05, 0.1), (6e-4, 1.5e-3, 1e-2))
"""Where ``ELEVATED``, ``HIGH`` and ``HALTED`` begin, by each of the :class:`RiskInputs`."""

KILL_DRAWDOWN = 0.1
"""The account's drawdown from which on all trading is stopped, for the rest of the process's life."""

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


def veto(tier: RiskTier, *, killed: bool, reduces: bool) -> Veto | None:
    """Return the reason not to send an order, or None. The kill switch stops those that reduce a position, too."""
    if killed:
        return Veto.KILL_SWITCH
    if tier >= RiskTier.HIGH and not reduces:
        return Veto.RISK_TIER
    return None
