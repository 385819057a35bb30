"""Cursors: the last row that each destination is done with, per signal. Held in memory, checked when read, written with each move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.spool.checksum import checksum

if TYPE_CHECKING:
    import apsw

Key = tuple[str, str]
"""Destination and signal."""


class Cursors(dict[Key, int]):
    """The last row each (destination, signal) is done with."""

    def of_signal(self, signal: str) -> dict[str, int]:
        """Return destination → row number of one signal."""
        return {destination: seq for (destination, one), seq in self.items() if one == signal}

    def done(self, signal: str) -> int | None:
        """Return the number up to which every destination is done with a signal; None if no destination takes that signal."""
        return min(self.of_signal(signal).values(), default=None)

    def waiting(self, signal: str, seq: int, only: str | None) -> list[str]:
        """List the destinations that still have to send a row."""
        return [name for name, done in self.of_signal(signal).items() if done < seq and only in (None, name)]


def load(connection: apsw.Connection) -> tuple[Cursors, list[Key]]:
    """Read the cursors, and list those whose checksum is wrong: trusting one could skip rows."""
    cursors, damaged = Cursors(), []
    for values in connection.execute("SELECT destination, signal, seq, digest FROM cursors"):
        destination, signal, seq, _ = values
        if intact(values):
            cursors[str(destination), str(signal)] = int(str(seq))
        else:
            damaged.append((str(destination), str(signal)))
    return cursors, damaged


def intact(values: tuple[apsw.SQLiteValue, ...]) -> bool:
    """Whether a stored cursor is what was written."""
    destination, signal, seq, check = values
    return isinstance(destination, str) and isinstance(signal, str) and isinstance(seq, int) and checksum(destination, signal, seq) == check


def write(connection: apsw.Connection, key: Key, seq: int) -> None:
    """Move or make a cursor."""
    connection.execute("REPLACE INTO cursors VALUES (?, ?, ?, ?)", (*key, seq, checksum(*key, seq)))


def remove(connection: apsw.Connection, key: Key) -> None:
    """Forget a cursor."""
    connection.execute("DELETE FROM cursors WHERE destination = ? AND signal = ?", key)
