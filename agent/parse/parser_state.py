"""What is known of a file or a stream where its position stands: plain values, which go with the position."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.parse.dialect import UNKNOWN, KnownFormat

ITSELF: Final = ""
"""The stream of lines that no runtime wrapped."""
Key = tuple[str, str]
"""A container's stream, and who a prefix says it was (empty: there is no prefix)."""
MAIN: Final[Key] = (ITSELF, "")


class Returned(NamedTuple):
    """What was given out of the lines behind the position, since another writer's record was open there."""

    until: int
    """Offset of the last line that was read."""
    needed: tuple[int, ...]
    """Offsets of the lines up to there that are in no record yet."""
    container: str
    strays: int
    """What was known there."""


class ParserState(NamedTuple):
    """What was found out about a file where its position stands."""

    container: str = ""
    """The runtime that wraps the lines; empty if none does."""
    strays: int = 0
    """How many lines running were not wrapped although they should have been."""
    streams: tuple[tuple[str, KnownFormat], ...] = ((ITSELF, UNKNOWN),)
    """What is known of the writers' formats. Container's stream and prefix are one name."""
    returned: Returned | None = None


NOTHING: Final = ParserState()


def name_of(key: Key) -> str:
    """A writer's key as one text."""
    return "\t".join(key) if key[1] else key[0]


def key_of(name: str) -> Key:
    """The key that such a text was made of."""
    stream, _, writer = name.partition("\t")
    return stream, writer
