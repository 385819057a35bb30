"""Windows in which equal errors are folded: a thousand of them are one event at once, and one at the window's end with their number. Pure.

    no window ──first error──▶ open: sent at once ──more──▶ folded, counted ──end of the window──▶ summary (count, first, last) ──▶ no window

State is committed with the records it was made of: `begin` makes a draft to note errors in, and only `commit` makes it the state.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Self, TypeVar

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T")

_WINDOW: Final = "window:"
_EVENT: Final = "event:"
_OVERFLOW: Final = "overflow"


MAX_VALUES: Final = 10
LONGEST_VALUE: Final = 200
"""Messages of folded errors in a summary, and characters of each."""


@dataclass(frozen=True, slots=True)
class FoldingLimits:
    """How much is sent at once."""

    window_ns: int = 60 * 10**9
    """How long errors of one group are folded, nanoseconds."""
    per_group: int = 1
    """Errors of one group that are sent by themselves in each window."""
    total: int = 100
    """Events in all that are sent in each window; errors beyond are folded too."""
    groups: int = 500
    """Groups with a window; errors of further ones are counted and dropped."""


@dataclass(frozen=True, slots=True)
class Window:
    """The errors of one group since its window opened."""

    opened_ns: int
    sent: int = 0
    folded: int = 0
    first_ns: int = 0
    """Of the folded ones; so are `last_ns` and `values`."""
    last_ns: int = 0
    values: tuple[str, ...] = ()
    """The first different messages."""

    def fold(self, time_ns: int, value: str) -> Window:
        """One more that is not sent by itself."""
        first_ns, last_ns = min(self.first_ns or time_ns, time_ns), max(self.last_ns, time_ns)
        return Window(self.opened_ns, self.sent, self.folded + 1, first_ns, last_ns, self._with(value[:LONGEST_VALUE]))

    def _with(self, value: str) -> tuple[str, ...]:
        new = value and len(self.values) < MAX_VALUES and value not in self.values
        return (*self.values, value) if new else self.values


class Choice(Enum):
    """The outcome of an error."""

    SEND = auto()
    FOLD = auto()
    FOLD_FIRST = auto()
    """As FOLD, and the summary will need an event."""
    DROP = auto()


@dataclass(frozen=True, slots=True)
class Summary:
    """A window that has ended, with errors that were not sent by themselves."""

    key: str
    window: Window
    event: bytes
    """One of the folded errors, as JSON."""


class Budget:
    """The limit for all groups together. Not stored: after a kill it begins again, which loses nothing."""

    def __init__(self, limits: FoldingLimits) -> None:
        self._limits = limits
        self._since = 0
        self._spent = 0

    def take(self, now_ns: int) -> bool:
        """Whether one more event may be sent now."""
        if not self._spent or not self._since <= now_ns < self._since + self._limits.window_ns:
            self._since, self._spent = now_ns, 0
        free = self._spent < self._limits.total
        self._spent += free
        return free

    def give_back(self, count: int) -> None:
        """So many are not sent after all."""
        self._spent = max(0, self._spent - count)


class OpenWindows:
    """The open windows of one source."""

    def __init__(self, limits: FoldingLimits, budget: Budget, positions: Mapping[str, bytes] | None = None) -> None:
        """`positions`: what was stored, as `WindowDraft.positions` gave it."""
        stored = positions or {}
        self.limits = limits
        self.budget = budget
        self.windows = dict(_windows(stored))
        self.events = {key.removeprefix(_EVENT): value for key, value in stored.items() if key.startswith(_EVENT)}
        self.overflow = _number(stored.get(_OVERFLOW, b"0"))

    def begin(self) -> WindowDraft:
        """A draft on top of the state."""
        return WindowDraft(self)

    def over(self, now_ns: int, *, all_of_them: bool = False) -> Iterator[tuple[str, Window]]:
        """The windows that have ended; a clock that was set back ends one as well."""
        for key, window in self.windows.items():
            if all_of_them or not window.opened_ns <= now_ns < window.opened_ns + self.limits.window_ns:
                yield key, window


@dataclass(slots=True)
class WindowDraft:
    """Changes that are not the state yet."""

    state: OpenWindows
    windows: dict[str, Window | None] = field(default_factory=dict)
    events: dict[str, bytes | None] = field(default_factory=dict)
    overflow: int = 0
    """How many more were dropped, less those that a report has counted."""
    taken: int = 0
    """Events that the budget keeps room for until the draft's context ends."""

    def note(self, key: str, time_ns: int, now_ns: int, value: str = "") -> Choice:
        """Decide on an error that happened at `time_ns` and says `value`."""
        window = self._window(key)
        if window is not None and not window.folded and not window.opened_ns <= now_ns < window.opened_ns + self.state.limits.window_ns:
            window = None
        if window is None and self._count() >= self.state.limits.groups and key not in self.state.windows:
            self.overflow += 1
            return Choice.DROP
        window = window or Window(now_ns)
        if window.sent < self.state.limits.per_group and not window.folded and self._take(now_ns):
            self.windows[key] = replace(window, sent=window.sent + 1)
            return Choice.SEND
        self.windows[key] = window.fold(time_ns, value)
        return Choice.FOLD if window.folded else Choice.FOLD_FIRST

    def keep(self, key: str, event: bytes) -> None:
        """Keep an event for the summary."""
        self.events[key] = event

    def close(self, now_ns: int, *, all_of_them: bool = False) -> list[Summary]:
        """End the windows whose time has passed; those that the budget has no room for stay open."""
        found: list[Summary] = []
        for key, window in self.state.over(now_ns, all_of_them=all_of_them):
            if window.folded and not self._take(now_ns) and not all_of_them:
                continue
            if window.folded:
                found.append(Summary(key, window, self.state.events.get(key, b"")))
                self.events[key] = None
            self.windows[key] = None
        return found

    def positions(self) -> dict[str, bytes | None]:
        """The positions to store."""
        made = {_WINDOW + key: None if window is None else _dump(window) for key, window in self.windows.items()}
        made |= {_EVENT + key: event for key, event in self.events.items()}
        if self.overflow:
            made[_OVERFLOW] = b"%d" % (self.state.overflow + self.overflow)
        return made

    def commit(self) -> None:
        """Make it the state: what `positions` returned is stored."""
        _apply(self.state.windows, self.windows)
        _apply(self.state.events, self.events)
        self.state.overflow += self.overflow
        self.taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the budget to others, unless this has become the state."""
        self.state.budget.give_back(self.taken)
        self.taken = 0

    def _take(self, now_ns: int) -> bool:
        free = self.state.budget.take(now_ns)
        self.taken += free
        return free

    def _window(self, key: str) -> Window | None:
        return self.windows[key] if key in self.windows else self.state.windows.get(key)

    def _count(self) -> int:
        return len(self.state.windows) + sum(key not in self.state.windows for key in self.windows)


def _apply(state: dict[str, T], changes: Mapping[str, T | None]) -> None:
    for key, value in changes.items():
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value


def _dump(window: Window) -> bytes:
    values = [value.encode("utf-8", "replace").decode() for value in window.values]  # JSON has no lone surrogates
    return orjson.dumps([window.opened_ns, window.sent, window.folded, window.first_ns, window.last_ns, values])


def _windows(stored: Mapping[str, bytes]) -> Iterator[tuple[str, Window]]:
    for key, value in stored.items():
        if key.startswith(_WINDOW):
            opened_ns, sent, folded, first_ns, last_ns, *values = orjson.loads(value)
            yield key.removeprefix(_WINDOW), Window(opened_ns, sent, folded, first_ns, last_ns, tuple(values[0] if values else ()))


def _number(value: bytes) -> int:
    return int(value) if value.isdigit() else 0
