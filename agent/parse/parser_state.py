"""The knowledge of a file or a stream at its position: plain values that are stored with the position."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.parse.dialect import UNKNOWN, KnownFormat

ITSELF: Final = ""
"""The stream of lines that no runtime wrapped."""
Key = tuple[str, str]
"""A container's stream, and who a prefix says it was (empty: there is no prefix)."""
MAIN: Final[Key] = (ITSELF, "")


class Returned(NamedTuple):
    """The lines behind the position that were returned already, while another writer's record was open there."""

    until: int
    """Offset of the last line that was read."""
    needed: tuple[int, ...]
    """Offsets of the lines up to there that are in no record yet."""
    container: str
    strays: int
    """The knowledge at that place."""


class ParserState(NamedTuple):
    """The knowledge of a file at its position."""

    container: str = ""
    """The runtime that wraps the lines; empty if none does."""
    strays: int = 0
    """How many lines running were not wrapped although they should have been."""
    streams: tuple[tuple[str, KnownFormat], ...] = ((ITSELF, UNKNOWN),)
    """The formats of the writers. Container's stream and prefix are one name."""
    returned: Returned | None = None


NOTHING: Final = ParserState()


def name_of(key: Key) -> str:
    """A writer's key as one text."""
    return "\t".join(key) if key[1] else key[0]


def key_of(name: str) -> Key:
    """The key that such a text was made of."""
    stream, _, writer = name.partition("\t")
    return stream, writer
