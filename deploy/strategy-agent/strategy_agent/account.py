"""The account: cash, positions and their value, from fills and ticks."""

from __future__ import annotations

from collections import defaultdict

from strategy_agent.model import AccountData, Fill


class Account:
    """Books fills, marks positions to the market and remembers the highest equity."""

    def __init__(self, cash: float = 100_000.0) -> None:
        self._cash = cash
        self._peak = cash
        self._positions: defaultdict[str, float] = defaultdict(float)
        self._marks: dict[str, float] = {}

    def book(self, fill: Fill) -> None:
        """Move quantity and money as the fill says."""
        signed = fill.side.sign * fill.quantity
        self._positions[fill.symbol] += signed
        self._cash -= signed * fill.price
        self._marks.setdefault(fill.symbol, fill.price)

    def mark(self, symbol: str, price: float) -> AccountData:
        """Value the symbol's position at ``price`` and return the account as it stands then."""
        self._marks[symbol] = price
        self._peak = max(self._peak, self.equity)
        return self.standing

    @property
    def standing(self) -> AccountData:
        """The account as of the last mark."""
        return AccountData(self.equity, self._peak)

    @property
    def equity(self) -> float:
        """Cash and the value of all positions."""
        return self._cash + sum(self.notional(symbol) for symbol in self._positions)

    def position(self, symbol: str) -> float:
        """Return the signed quantity held."""
        return self._positions.get(symbol, 0.0)

    def notional(self, symbol: str) -> float:
        """Return the signed value of the position at the last mark."""
        return self.position(symbol) * self._marks.get(symbol, 0.0)

    def exposure(self, symbol: str) -> float:
        """Return the size of the position as a fraction of the equity; 1 when there is no equity left."""
        return abs(self.notional(symbol)) / self.equity if self.equity > 0 else 1.0
