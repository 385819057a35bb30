"""How many bytes the files of one log have in common from their beginnings. Thin I/O.

Contents of one log may begin alike, with a header, or with a banner that each start writes. Such a *common head* does not prove which
content a file holds.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from agent.tail.pool import Peek
from agent.tail.reader import COMPARED, end_of, is_one_content
from agent.tail.stream import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.tail.decide import Candidate
    from agent.tail.pool import Pool
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream
    from agent.tail.table import Table

_RELATIVES: Final = 4
"""The newest contents of a log that a file is compared with."""


class CommonHeads:
    """Asks other files of the same log whether they begin with the same bytes, too."""

    def __init__(self, table: Table, pool: Pool) -> None:
        self._table = table
        self._pool = pool
        self.candidates: Sequence[Candidate] = ()
        """Files that no known content lies in, in this look."""

    def relatives(self, home: str, *, plain: bool = False) -> list[Stream]:
        """The newest contents of a home, newest first; `plain`: only those that are not compressed."""
        there = (one for one in reversed(self._table.by_home.get(home, ())) if one.state is not State.LOST)
        return list(islice((one for one in there if not (plain and one.place.gzip)), _RELATIVES))

    def is_head_of(self, stream: Stream, candidate: Candidate, file: Reader) -> bool | None:
        """Whether what was read of a content, with which a file begins, is a common head; None if no other file tells.

        The same file once more does not make it one: a file and its compressed form may both be there.
        """

        def goes_on(other: Reader) -> bool | None:
            if not stream.is_continued_by(other):
                return _differs(other)
            return not (end_of(other) == end_of(file) and is_one_content(other, file))

        return self._ask(stream, candidate, goes_on)

    def is_head(self, candidate: Candidate, stream: Stream | None, original: Reader, same: int) -> bool | None:
        """Whether the bytes that a copy has in common with its original are a common head: two files that begin with it go on differently."""
        if same > COMPARED:
            return False
        longest = original.read(0, COMPARED)
        start = longest[:same]

        def goes_on(other: Reader) -> bool | None:
            nonlocal longest
            data = other.read(0, COMPARED)
            if not data.startswith(start):
                return _differs(other)
            known, longest = longest, max(longest, data, key=len)
            return None if known[: len(data)] == data[: len(known)] else True

        return self._ask(stream, candidate, goes_on)

    def _ask(self, stream: Stream | None, candidate: Candidate, ask: Callable[[Reader], bool | None]) -> bool | None:
        """Ask other files of the same log, which answer yes, no or nothing (None); one yes is enough."""
        answer = None
        known = [one.place for one in self.relatives(candidate.home) if one is not stream]
        new = (one for one in self.candidates if one.home == candidate.home and one.found.id not in self._table.by_id)
        others = [one.place for one in new if one.found.id != candidate.found.id]
        for place in (*known, *others[-_RELATIVES:]):
            try:
                with Peek(self._pool, place) as reader:
                    told = ask(reader)
            except OSError:
                continue
            if told:
                return True
            answer = told if answer is None else answer
        return answer


def _differs(reader: Reader) -> bool | None:
    """The answer of a file that begins in another way than what is asked about: no; one that is empty tells nothing."""
    return False if reader.read(0, 1) else None
