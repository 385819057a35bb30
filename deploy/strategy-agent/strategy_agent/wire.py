"""JSON for the values that cross a socket: the only place that knows both sides.

Whatever a peer sends becomes a value of the expected type, or a :class:`WireError` that names the field. Numbers are
finite and text is Unicode: neither NaN nor half a surrogate pair is JSON to msgspec.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


class WireError(ValueError):
    """A peer sent something else than the protocol says."""


class Clock(Struct, frozen=True):
    """A venue's time in Unix seconds."""

    now: float


class Refusal(Struct, frozen=True):
    """Why a venue does not do what it was asked: a fixed word, and what else there is to say."""

    reason: str
    detail: str = ""


class Frame(Struct, Generic[T], frozen=True):
    """Item ``seq`` of a stream. Without ``data`` it says that everything up to ``seq`` is gone for good."""

    seq: int
    data: T | None = None


def encode(value: Struct) -> str:
    """Return the JSON text of a value."""
    return msgspec.json.encode(value).decode()


def decode(text: str | bytes, kind: type[T]) -> T:
    """Return the value of type ``kind`` in ``text``; fields that the type does not have are ignored."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WireError(str(error)) from error
