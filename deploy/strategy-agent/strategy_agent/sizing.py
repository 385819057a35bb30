"""How much to trade: pure arithmetic over what is held and what is on its way.

An order in flight may be filled or not, so every bound is kept in the worst case: as if all orders of one direction
were filled and none of the other. An order against a position never takes it beyond zero; the other side is opened by
a later one.
"""

from math import copysign, floor

from msgspec import Struct

from strategy_agent.model import Decision

MAX_POSITION = 0.2
MAX_GROSS = 0.3
MIN_TRADE = 0.01
MAX_TRADE = 0.05
"""Sizes as fractions of the equity: of one symbol's position, of all positions together, and of one order."""

LOT = 1e-6
"""Quantities are multiples of this."""


class Holding(Struct, frozen=True):
    """One symbol: the signed quantity held, and what orders in flight would buy and sell, both not negative."""

    position: float = 0.0
    buying: float = 0.0
    selling: float = 0.0

    @property
    def worst(self) -> float:
        """The largest quantity that this can become, whichever orders are filled."""
        return max(abs(self.position), abs(self.position + self.buying), abs(self.position - self.selling))

    def room(self, quantity: float, limit: float) -> float:
        """Return how much can be traded in the direction of ``quantity``: up to zero, else up to ``limit``."""
        if quantity * self.position < 0:
            return max(0.0, abs(self.position) - (self.buying if quantity > 0 else self.selling))
        ahead = self.position + self.buying if quantity > 0 else self.selling - self.position
        return max(0.0, limit - ahead)


def plan_trade(decision: Decision, holding: Holding, equity: float, gross: float) -> float:
    """Return the signed quantity to trade so that the position approaches the wanted one; 0 for nothing.

    ``gross`` is the value of all positions and orders in flight, in their worst case.
    """
    price = decision.price
    if equity <= 0 or price <= 0:
        return 0.0
    wanted = decision.signal * decision.allocation_scalar * MAX_POSITION * equity
    missing = wanted - (holding.position + holding.buying - holding.selling) * price
    if abs(missing) < MIN_TRADE * equity:
        return 0.0
    most = min(abs(missing), MAX_TRADE * equity) / price
    room = holding.room(missing, MAX_POSITION * equity / price)
    if missing * holding.position >= 0:
        room = min(room, (MAX_GROSS * equity - gross) / price)
    size = floor(max(0.0, min(most, room)) / LOT) * LOT
    return copysign(round(size, 6), missing) if size * price >= MIN_TRADE * equity / 2 else 0.0
