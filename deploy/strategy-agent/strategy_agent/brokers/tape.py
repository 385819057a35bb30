"""A bounded, numbered log that any number of subscribers read at their own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Tape(Generic[T]):
    """Keeps the last ``keep`` items, numbered from 1 without gaps.

    A subscriber is nothing but a number, its position. There is no queue per subscriber, so a slow one costs no
    memory and a returning one resumes where it was, as long as the tape still holds it.
    """

    def __init__(self, keep: int = 4096) -> None:
        self._items: deque[T] = deque(maxlen=keep)
        self._changed = asyncio.Event()
        self.last = 0

    @property
    def first(self) -> int:
        """The number of the oldest item still held; ``last + 1`` when there is none."""
        return self.last - len(self._items) + 1

    def append(self, item: T) -> int:
        """Add an item, wake those who wait, and return its number."""
        self._items.append(item)
        self.last += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return self.last

    def __getitem__(self, seq: int) -> T:
        if not self.first <= seq <= self.last:
            raise IndexError(f"item {seq} is not on the tape ({self.first}…{self.last})")
        return self._items[seq - self.first]

    async def reached(self, seq: int) -> None:
        """Return as soon as the tape holds, or held, item ``seq``."""
        while self.last < seq:
            await self._changed.wait()
