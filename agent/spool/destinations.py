"""What the agent was configured to send where when it last ran: it stands among the positions, twice and with checksums like those."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from agent.spool import positions

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from agent.spool.cursors import Key

_SOURCE: Final = "configured destinations"
"""No component can have this name."""
_KEY: Final = "signals"


def read(connection: apsw.Connection) -> set[Key] | None:
    """Return the destinations with each of their signals; None where an older agent wrote the file, or the two copies are damaged."""
    stored = positions.read(connection, _SOURCE).get(_KEY)
    if stored is None:
        return None
    return {(destination, signal) for destination, signals in json.loads(stored).items() for signal in signals}


def write(connection: apsw.Connection, keys: Iterable[Key]) -> None:
    """Remember them, if they are others than before."""
    if set(keys) == read(connection):
        return
    signals: defaultdict[str, list[str]] = defaultdict(list)
    for destination, signal in sorted(keys):
        signals[destination].append(signal)
    positions.write(connection, _SOURCE, {_KEY: json.dumps(signals).encode()})
