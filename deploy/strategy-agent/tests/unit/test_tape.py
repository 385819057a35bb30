"""The bounded, numbered log."""

from __future__ import annotations

import asyncio

import pytest

from strategy_agent.brokers.paper import Tape


def test_items_are_numbered_from_one() -> None:
    """Numbers begin at 1 and have no gaps."""
    tape: Tape[str] = Tape()
    assert [tape.append(item) for item in "abc"] == [1, 2, 3]
    assert (tape[1], tape[3]) == ("a", "c")


def test_an_empty_tape_holds_nothing() -> None:
    """Before the first item, the first number is the next one."""
    tape: Tape[str] = Tape()
    assert (tape.first, tape.last) == (1, 0)


def test_a_full_tape_forgets_the_oldest() -> None:
    """Only the last items are held; their numbers stay."""
    tape: Tape[int] = Tape(keep=3)
    for item in range(10):
        tape.append(item)
    assert (tape.first, tape.last, tape[8]) == (8, 10, 7)


@pytest.mark.parametrize("seq", [0, 7, 11])
def test_numbers_not_held_are_an_error(seq: int) -> None:
    """Forgotten and future numbers are an IndexError, never another item."""
    tape: Tape[int] = Tape(keep=3)
    for item in range(10):
        tape.append(item)
    with pytest.raises(IndexError, match=r"not on the tape \(8…10\)"):
        tape[seq]


async def test_waiting_ends_when_the_tape_grows_far_enough() -> None:
    """All who wait for an item are woken when it is there, and not by one before it."""
    tape: Tape[str] = Tape()
    waiting = [asyncio.create_task(tape.reached(2)) for _ in range(3)]
    tape.append("a")
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    tape.append("b")
    await asyncio.wait_for(asyncio.gather(*waiting), 1)


async def test_what_was_there_is_not_waited_for() -> None:
    """An item that is or was on the tape has been reached, forgotten or not."""
    tape: Tape[str] = Tape(keep=1)
    tape.append("a")
    tape.append("b")
    await asyncio.wait_for(asyncio.gather(tape.reached(1), tape.reached(2)), 1)
