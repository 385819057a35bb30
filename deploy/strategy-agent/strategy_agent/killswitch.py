"""The kill switch: once tripped it stops all trading until a person takes it back.

    armed ──trip (drawdown, or a person who writes the file)──▶ tripped ──a person removes the file──▶ armed

The file is the switch, so that it survives a restart and a person can use it while the agent runs: anything in it
trips, ``{"by": "ann", "reason": "maintenance"}`` also says who and why. What is in flight is cancelled; positions are
held, because to sell into the market that tripped it is a decision for a person.
"""

import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from strategy_agent.model import WireError, decode, encode


class Trip(Struct, frozen=True):
    """Who stopped trading, why, and when (Unix seconds)."""

    by: str = "file"
    reason: str = "unknown"
    at: float = 0.0


class KillSwitch:
    """Tripped or not; without a ``path``, or with one that cannot be written, it lasts for the process's life only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.trip: Trip | None = None
        self._unkept: Trip | None = None
        """What no file holds: that there is no file does not take it back."""
        self.refresh()

    def pull(self, by: str, reason: str) -> bool:
        """Stop all trading, and say whether that could be kept for the next process."""
        self.trip = self._unkept = Trip(by, reason, round(time.time(), 3))
        with suppress(OSError):
            if self._path is not None:
                self._path.write_text(encode(self.trip), encoding="utf-8")
                self._unkept = None
            return True
        return False

    def refresh(self) -> bool:
        """Look at the file again, which a person may have written or removed; say whether that changed anything."""
        before = self.trip
        self.trip = self._unkept or (_read(self._path) if self._path else None)
        return (self.trip is None) is not (before is None)


def _read(path: Path) -> Trip | None:
    try:
        return decode(path.read_bytes(), Trip)
    except FileNotFoundError:
        return None
    except (OSError, WireError):
        return Trip(reason="unreadable")  # in doubt nothing is traded
