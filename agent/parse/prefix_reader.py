"""Which writer's prefix a line has: one of the known kinds, or one that a traceback's lines repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from agent.parse.parsed import NOWHERE, Parsed
from agent.parse.prefixes import TIMED, Learned, Prefixed, by_system, by_time, by_writer, is_timed_twice, may_have_prefix
from agent.parse.text_lines import sniff as is_levelled

if TYPE_CHECKING:
    from agent.parse.parser_state import Key
    from agent.parse.writer_table import WriterTable

_MAX_CANDIDATES: Final = 16


class _Candidate(NamedTuple):
    """The first line of a traceback behind an unknown prefix: whether it is one, the second line tells."""

    stream: str
    offset: int
    line: bytes
    learned: Learned
    base: Parsed


class PrefixReader:
    """Distinguishes writers. It may close an open record in the table, where a line shows that it has ended."""

    def __init__(self, table: WriterTable) -> None:
        self._table = table
        self._learned: dict[Key, Learned] = {}
        self._candidates: list[_Candidate] = []

    def read(self, stream: str, line: bytes, now_ns: int) -> Prefixed | None:
        """A line behind a prefix. A format that a person has named is looked for behind prefixes as well, but plain text is left as it is."""
        if (self._learned or self._candidates) and (found := self._by_learned(stream, line, now_ns)) is not None:
            return found
        given = self._table.given
        if given == "plain" or not (may_have_prefix(line) or (len(self._table) > 1 and (stream, TIMED) in self._table)):
            return None
        if (found := by_writer(line)) is not None:
            return self._by_time(stream, found.text, now_ns, found) or found
        if given in ("", "syslog"):
            found = self._by_system(stream, line, now_ns)
        return found or self._by_time(stream, line, now_ns)

    def consider(self, stream: str, offset: int, line: bytes, base: Parsed) -> None:
        """Remember a line that ends with a traceback's header: the second line may repeat what stands before it."""
        if self._table.given in ("plain", "syslog") or is_levelled(line):
            return
        if (learned := Learned.of(line)) is not None:
            self._candidates = [*self._candidates[1 - _MAX_CANDIDATES :], _Candidate(stream, offset, line, learned, base)]

    def forget(self, keys: list[Key]) -> None:
        """These writers have nothing open."""
        for key in keys:
            self._learned.pop(key, None)

    def _by_system(self, stream: str, line: bytes, now_ns: int) -> Prefixed | None:
        """A line behind a system log's header. A logger's line may look so as well: there it is one only where others are."""
        main = self._table.get((stream, ""))
        known = main is not None and main.stream.dialect.reads_syslog
        found = by_system(line, now_ns, bare=known)
        return found if known or found is None or not line[:1].isdigit() or not is_levelled(line) else None

    def _by_time(self, stream: str, line: bytes, now_ns: int, outer: Prefixed | None = None) -> Prefixed | None:
        """A line behind a time. `outer`: the writer's prefix that stands before it, as Compose and Kubernetes print both."""
        name = f"{outer.writer} {TIMED}" if outer else TIMED
        going_on = self._table.opened(stream, name)
        if going_on is not None and is_levelled(line) and not is_timed_twice(line):
            going_on.stream.close()
            return None
        found = by_time(line, now_ns, going_on=going_on is not None)
        if found is None or outer is None:
            return found
        if going_on is None and (before := self._table.opened(stream, outer.writer)) is not None:
            before.stream.close()
        return found._replace(writer=name, base=below(outer.base, found.base))

    def _by_learned(self, stream: str, line: bytes, now_ns: int) -> Prefixed | None:
        for key, learned in self._learned.items():
            if key[0] == stream and (found := learned.split(line)) is not None:
                return found
        for candidate in self._candidates:
            if candidate.stream == stream and (found := candidate.learned.split(line)) is not None and found.text.startswith(b"  "):
                self._candidates.remove(candidate)
                return found if self._learn(candidate, now_ns) else None
        return None

    def _learn(self, candidate: _Candidate, now_ns: int) -> bool:
        """The prefix is a writer's: not of the one that got the first line."""
        before, key = self._table[candidate.stream, ""], (candidate.stream, candidate.learned.writer)
        first = candidate.learned.split(candidate.line)
        if first is None or not before.stream.withdraw(candidate.offset):
            return False
        before.withdraw(candidate.offset)
        self._learned[key] = candidate.learned
        self._table.of(key).feed(first.text, now_ns, below(candidate.base, first.base), (candidate.offset,))
        return True


def below(outer: Parsed, inner: Parsed) -> Parsed:
    """The fields of two wrappers of a line; the inner one has precedence."""
    if outer is NOWHERE:
        return inner
    return inner._replace(time_ns=inner.time_ns or outer.time_ns, attributes={**outer.attributes, **inner.attributes})
