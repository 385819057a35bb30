"""The order-book cache."""

from __future__ import annotations

from collections import Counter

import pytest

from strategy_agent.brokers.client import BrokerError
from strategy_agent.model import Book
from strategy_agent.orderbook import OrderBookCache
from tests.support import FakeClock, make_book


class Source:
    """A broker that stamps books with the clock and counts how often it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0

    async def fetch(self, symbol: str) -> Book:
        """Return a book of now."""
        self.asked += 1
        return make_book(symbol, at=self.clock.now)


class MemoryStore:
    """A shared store in memory."""

    def __init__(self) -> None:
        self.books: dict[str, Book] = {}

    async def get(self, symbol: str) -> Book | None:
        """Return what was put in."""
        return self.books.get(symbol)

    async def put(self, book: Book) -> None:
        """Keep it."""
        self.books[book.symbol] = book


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that moves when told."""
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> Source:
    """Return a broker to fetch from."""
    return Source(clock)


async def test_a_young_book_is_not_fetched_again(clock: FakeClock, source: Source) -> None:
    """Within the age limit the broker is asked once."""
    answers = Counter[str]()
    cache = OrderBookCache(source.fetch, max_age=0.5, clock=clock, note=lambda who: answers.update([who]))
    for _ in range(4):
        await cache.get("BTC-USD")
        clock.now += 0.1
    assert source.asked == 1
    assert answers == {"broker": 1, "memory": 3}


async def test_a_book_at_the_limit_is_good_and_beyond_it_is_not(clock: FakeClock, source: Source) -> None:
    """The limit itself is still young enough."""
    cache = OrderBookCache(source.fetch, max_age=0.5, clock=clock)
    await cache.get("BTC-USD")
    clock.now += 0.5
    await cache.get("BTC-USD")
    assert source.asked == 1
    clock.now += 0.001
    await cache.get("BTC-USD")
    assert source.asked == 2


async def test_symbols_are_cached_apart(clock: FakeClock, source: Source) -> None:
    """A book of one symbol is no answer for another."""
    cache = OrderBookCache(source.fetch, clock=clock)
    assert (await cache.get("A")).symbol == "A"
    assert (await cache.get("B")).symbol == "B"
    assert source.asked == 2


async def test_a_shared_store_spares_the_broker(clock: FakeClock, source: Source) -> None:
    """What one agent fetched, another finds in the store."""
    store, answers = MemoryStore(), list[str]()
    first = OrderBookCache(source.fetch, clock=clock, store=store)
    second = OrderBookCache(source.fetch, clock=clock, store=store, note=answers.append)
    await first.get("BTC-USD")
    await second.get("BTC-USD")
    assert source.asked == 1
    assert answers == ["store"]
    store.books.clear()
    await second.get("BTC-USD")  # what was found there is held here from then on
    assert answers == ["store", "memory"]


async def test_an_old_book_in_the_store_is_a_miss(clock: FakeClock, source: Source) -> None:
    """Age counts wherever a book is found."""
    store = MemoryStore()
    store.books["BTC-USD"] = make_book(at=clock.now - 10)
    cache = OrderBookCache(source.fetch, clock=clock, store=store)
    assert (await cache.get("BTC-USD")).at == clock.now


async def test_a_book_from_the_future_is_a_miss(clock: FakeClock, source: Source) -> None:
    """A clock that is far ahead of ours does not make a book good for ever."""
    store = MemoryStore()
    store.books["BTC-USD"] = make_book(at=clock.now + 3600)
    cache = OrderBookCache(source.fetch, clock=clock, store=store)
    assert (await cache.get("BTC-USD")).at == clock.now


async def test_the_age_is_that_of_the_book_held(clock: FakeClock, source: Source) -> None:
    """Before the first lookup there is no age, afterwards it grows with the clock."""
    cache = OrderBookCache(source.fetch, clock=clock)
    assert cache.age("BTC-USD") is None
    await cache.get("BTC-USD")
    clock.now += 3
    assert cache.age("BTC-USD") == 3


async def test_a_broker_that_refuses_is_passed_on(clock: FakeClock) -> None:
    """The cache does not hide a failure, and counts the broker as asked: it was not spared."""

    async def refuse(_: str) -> Book:
        raise BrokerError("alpha", "unreachable")

    answers = list[str]()
    cache = OrderBookCache(refuse, clock=clock, note=answers.append)
    with pytest.raises(BrokerError, match="alpha: unreachable"):
        await cache.get("BTC-USD")
    assert answers == ["broker"]
