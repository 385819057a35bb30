"""The operations that a person asks for: one table for the running agent's socket, for a stopped agent's file and for the command line.

The arguments of an operation are texts, as in a URL's query; what it returns can be written as JSON, or is bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.errors import NoInputError, OutriderError
from agent.spool import dead_letters, destinations, ledger
from agent.spool.checksum import Packed
from agent.spool.values import OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.spool.tables import Tables

PAGE: Final = 1000
"""Dead letters listed at once."""


class Operation(NamedTuple):
    """One operation."""

    run: Callable[..., object]
    """Takes the tables and the arguments in order."""
    arguments: Mapping[str, Callable[[str], object]]
    """By name, each with the function that reads it; a missing one is an empty text. NoInputError if it is not valid."""
    writes: bool = False
    gives_bytes: bool = False
    then: Callable[[Tables], bool] | None = None
    """Repeated afterwards, each time in a transaction of its own, until it returns False."""

    def job(self, given: Mapping[str, str]) -> Callable[[Tables], object]:
        """Return the function to run on the tables; NoInputError if an argument is not valid."""
        values = [read(given.get(name, "")) for name, read in self.arguments.items()]
        return lambda tables: self.run(tables, *values)


def _listed(tables: Tables, after: int) -> object:
    """List dead letters, oldest first, from behind an id; an empty list is the end."""
    return [letter._asdict() for letter in dead_letters.listed(tables.connection, after, PAGE)]


def _body(tables: Tables, number: int) -> bytes:
    return _letter(tables, number).body


def _requeue(tables: Tables, number: int) -> int:
    """Put a dead letter back for the destination that refused it; return its new row number."""
    dead = _letter(tables, number)
    if dead.destination == OWN or not dead_letters.intact(dead):
        raise OutriderError(f"dead letter {number} is damaged ({dead.reason}) and can't be sent")
    if (dead.destination, dead.signal) not in tables.cursors:
        raise OutriderError(f"dead letter {number} was for {dead.destination!r}, which takes no {dead.signal} any more")
    packed = Packed(dead.signal, dead.records, dead.raw_size, dead.body)
    seq = tables.put_back(dead.source, packed, dead.destination)
    ledger.add(tables.connection, "dead_lettered", dead.line, -dead.records)
    ledger.note(tables.connection, "dead_lettered", dead.line, dead.reason, -dead.records)
    dead_letters.delete(tables.connection, number)
    return seq


def _discard(tables: Tables, number: int) -> None:
    """Delete a dead letter; it stays counted."""
    if not dead_letters.delete(tables.connection, number):
        raise _missing(number)


def _letter(tables: Tables, number: int) -> dead_letters.Letter:
    dead = dead_letters.fetch(tables.connection, number)
    if dead is None:
        raise _missing(number)
    return dead


def _missing(number: int) -> NoInputError:
    return NoInputError(f"there is no dead letter {number}")


def _forget(tables: Tables, destination: str, force: bool) -> int:
    return destinations.forget(tables, destination, force=force)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise NoInputError(f"{text!r} is not the number of a dead letter")
    return int(text)


def _after(text: str) -> int:
    return _number(text) if text else 0


def _flag(text: str) -> bool:
    return text == "1"


OPERATIONS: Final = {
    "dead-letters": Operation(_listed, {"after": _after}),
    "dead-letters/body": Operation(_body, {"id": _number}, gives_bytes=True),
    "dead-letters/requeue": Operation(_requeue, {"id": _number}, writes=True),
    "dead-letters/discard": Operation(_discard, {"id": _number}, writes=True),
    "gc": Operation(_forget, {"destination": str, "force": _flag}, writes=True, then=destinations.sweep),
}
"""By the path below `/spool/` that asks for it."""
