from __future__ import annotations

import pytest

from agent.errors import OutriderError
from agent.record import Signal
from agent.spool import dead_letters, destinations
from agent.spool.values import DeadLetter


def seqs(desk):
    """List the stored rows."""
    return [seq for (seq,) in desk.connection.execute("SELECT seq FROM rows ORDER BY seq")]


METRICS = {"signal": Signal.METRICS}


def test_row_stays_until_every_destination_is_past_it(desk):
    """A row goes when the last destination of its signal has settled it."""
    desk.register("a", "b", signals=["metrics"])
    desk.put(**METRICS)
    desk.drain("a", "metrics")
    assert seqs(desk) == [1]
    desk.drain("b", "metrics")
    assert seqs(desk) == []


def test_rows_without_destination_wait_for_one(desk):
    """A destination that comes later starts at the oldest stored row, and its account begins with what is there."""
    desk.put(records=4)
    desk.put(records=5)
    desk.register("late")
    assert desk.line("late").pending == desk.line("late").accepted == 9
    assert desk.drain("late") == [1, 2]
    assert desk.ledger().violations() == ()


def test_row_numbers_are_never_used_again(desk):
    """A number is never used twice, also after everything was delivered and the spool was opened again."""
    desk.register("a", signals=["metrics"])
    desk.put(**METRICS)
    desk.drain("a", "metrics")
    desk.close()
    desk.open()
    assert desk.put(**METRICS) == 2


def test_orphan_holds_rows_until_collected(desk):
    """A destination that is configured no more keeps its rows, is listed, and lets them go by `gc`, counted as orphaned."""
    desk.register("a", "gone", signals=["metrics"])
    for _ in range(600):
        desk.put(**METRICS)
    desk.close()
    desk.open()
    desk.register("a", signals=["metrics"])
    desk.drain("a", "metrics")
    assert destinations.orphans(desk.tables) == ("gone",)
    assert len(seqs(desk)) == 600
    with pytest.raises(OutriderError, match=r"600 records wait for 'gone'.*--force"):
        desk.do(lambda tables: destinations.forget(tables, "gone"))
    collected = desk.do(lambda tables: destinations.forget(tables, "gone", force=True))
    assert collected == 600
    while desk.do(destinations.sweep):
        pass
    assert seqs(desk) == []
    assert desk.line("gone").evicted == 600
    assert desk.ledger().losses[0].reason == "orphaned"
    assert desk.ledger().violations() == ()


@pytest.mark.parametrize(("name", "reason"), [("a", "is in the configuration"), ("unknown", "is not known to this spool")])
def test_only_orphans_can_be_collected(desk, name, reason):
    """A configured destination, or one that never was, is refused."""
    desk.register("a")
    with pytest.raises(OutriderError, match=f"'{name}' {reason}.*: nothing$"):
        desk.do(lambda tables: destinations.forget(tables, name))


def test_dead_letter_is_kept_whole_or_in_part(desk):
    """Records that a destination refused for good are kept with the reason: the whole row, or the part that was refused."""
    desk.register("a")
    desk.put(b"whole", records=2)
    desk.put(b"two parts", records=2)
    desk.settle("a", desk.next("a"), [DeadLetter("HTTP 400", 2)])
    desk.settle("a", desk.next("a"), [DeadLetter("too large", 1, b"part")])
    whole, part = dead_letters.listed(desk.connection)
    assert (whole.reason, whole.records, whole.destination, part.reason, part.records) == ("HTTP 400", 2, "a", "too large", 1)
    import zlib

    assert [zlib.decompress(dead_letters.fetch(desk.connection, one.id).body, 31) for one in (whole, part)] == [b"whole", b"part"]


def test_requeued_letter_goes_to_its_destination_only(desk):
    """A dead letter put back is sent only to the destination that had refused it, and the account follows."""
    desk.register("a", "b")
    desk.put(b"x", records=3)
    desk.settle("a", desk.next("a"), [DeadLetter("HTTP 400", 3)])
    desk.drain("b")
    (letter,) = dead_letters.listed(desk.connection)
    seq = desk.ask("dead-letters/requeue", id=str(letter.id))
    assert desk.next("b") is None
    assert (desk.line("a").dead_lettered, desk.line("a").pending, desk.line("b").pending) == (0, 3, 0)
    assert desk.drain("a") == [seq]
    assert desk.ledger().violations() == ()
    assert dead_letters.listed(desk.connection) == []
    assert seq not in seqs(desk)


def test_requeue_refuses_what_cannot_be_sent(desk):
    """Unknown letters are refused, and those whose destination is gone."""
    with pytest.raises(OutriderError, match="no dead letter 7"):
        desk.ask("dead-letters/requeue", id="7")
    desk.register("a")
    desk.put()
    desk.settle("a", desk.next("a"), [DeadLetter("no", 1)])
    desk.close()
    desk.open()
    desk.do(lambda tables: destinations.forget(tables, "a"))
    with pytest.raises(OutriderError, match="takes no logs any more"):
        desk.ask("dead-letters/requeue", id="1")


def test_discarded_letter_stays_counted(desk):
    """Throwing a dead letter away does not change the account."""
    desk.register("a")
    desk.put()
    desk.settle("a", desk.next("a"), [DeadLetter("no", 1)])
    desk.ask("dead-letters/discard", id="1")
    assert dead_letters.listed(desk.connection) == []
    assert desk.line("a").dead_lettered == 1
    with pytest.raises(OutriderError, match="no dead letter 1"):
        desk.ask("dead-letters/discard", id="1")


def test_dead_letters_have_a_share_of_the_quota(open_desk):
    """Dead letters take at most a tenth of the quota: the oldest go, counted."""
    import os

    desk = open_desk(quota=4 << 20)
    desk.register("a")
    for _ in range(40):
        desk.put(os.urandom(30_000))
        desk.settle("a", desk.next("a"), [DeadLetter("no", 1)])
    kept = dead_letters.listed(desk.connection)
    assert sum(one.size for one in kept) <= (4 << 20) // 10
    assert kept[-1].seq == 40
    gone = [loss.records for loss in desk.ledger().losses if loss.kind == "dead_letter_evicted"]
    assert gone == [40 - len(kept)]
    assert desk.line("a").dead_lettered == 40
