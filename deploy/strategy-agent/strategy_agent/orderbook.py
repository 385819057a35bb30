"""The order-book cache: an age limit, a measured hit rate, optionally a shared store behind it.

Looked up in this order: own memory, shared store, broker. A book older than the limit counts as a miss wherever it
was found.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from strategy_agent.model import Book


class BookStore(Protocol):
    """A store shared by several agents. Both methods answer with less rather than raise when it is away."""

    async def get(self, symbol: str) -> Book | None:
        """Return the book last put in, or None."""
        ...

    async def put(self, book: Book) -> None:
        """Keep a book for the others."""
        ...


@dataclass(slots=True)
class OrderBookCache:
    """Caches books by symbol for ``max_age`` seconds of the clock that stamps them."""

    fetch: Callable[[str], Awaitable[Book]]
    max_age: float = 0.5
    store: BookStore | None = None
    clock: Callable[[], float] = time.time
    note: Callable[[str], object] = lambda _: None
    """Called for each lookup with its source: ``memory``, ``store`` or ``broker``, also when that had no answer."""
    _books: dict[str, Book] = field(default_factory=dict)

    async def get(self, symbol: str) -> Book:
        """Return a book no older than the limit; raises what ``fetch`` raises when the broker must be asked."""
        if book := self._fresh(self._books.get(symbol)):
            self.note("memory")
            return book
        if self.store and (book := self._fresh(await self.store.get(symbol))):
            self.note("store")
            self._books[symbol] = book
            return book
        self.note("broker")
        book = self._books[symbol] = await self.fetch(symbol)
        if self.store:
            await self.store.put(book)
        return book

    def age(self, symbol: str) -> float | None:
        """Return the age in seconds of the book held for the symbol, if one is."""
        return self.clock() - book.at if (book := self._books.get(symbol)) else None

    def _fresh(self, book: Book | None) -> Book | None:
        # Either way: a book from the future, by a clock that is ahead of ours, would otherwise never grow old.
        return book if book and abs(self.clock() - book.at) <= self.max_age else None
