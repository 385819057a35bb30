"""What is known: the streams, by key, by inode and by directory, and what happened to them since it was last told."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.tail.names import possible_bases
from agent.tail.position import Cause, Horizon, decode
from agent.tail.stream import State, Stream
from agent.tail.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.tail.position import Place

SERIAL: Final = "@next"
"""The key under which the number of the next stream is stored; that it is there means that this is not the first start ever."""
HORIZONS: Final = "@before-"
"""Keys under which horizons are stored begin with this."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `Tail`. Paths are absolute, sizes in bytes, times in seconds."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    allowed_roots: tuple[str, ...] = ()
    from_end: bool = False
    follow_rotated: bool = True
    rotated_to: tuple[str, ...] = ()
    poll_interval: float = 0.2
    max_line_bytes: int = 1 << 20
    max_open_files: int = 512
    max_gzip_bytes: int = 16 << 30
    max_gzip_ratio: int = 1000
    rotated_idle: float = 5.0
    partial_idle: float = 60.0
    max_held_age: float = 3600.0
    max_held_bytes: int = 1 << 30
    forget_after: float = 300.0


class Notice(NamedTuple):
    """Something that happened to a file; `event` as in `telemetry.FileChanged`, or `found`, or `unreadable` with an error (a damaged compressed file)."""

    event: str
    path: str
    error: str = ""


class Table:
    """All streams. Whoever changes one says so here, so that its position is stored with the next batch."""

    def __init__(self, stored: Mapping[str, bytes], homes: Homes) -> None:
        """Take the stored positions; PositionError if one cannot be read."""
        self.homes = homes
        self.is_first_start = SERIAL not in stored
        self.next_serial = int(stored.get(SERIAL, b"1"))
        self.streams: dict[str, Stream] = {}
        self.by_id: dict[tuple[int, int], Stream] = {}
        self.in_directory: dict[str, set[Stream]] = defaultdict(set)
        self.by_home: dict[str, list[Stream]] = defaultdict(list)
        self.live_directories: Counter[str] = Counter()
        """How many homes are in each directory."""
        self.lost: set[Stream] = set()
        self.changed: dict[str, Stream] = {}
        """Streams whose position is to be stored."""
        self.touched: list[Stream] = []
        """Streams that came or moved: to be polled at once."""
        self.forgotten: list[str] = []
        self._horizons: dict[str, Horizon] = {}
        self.moved_horizons: dict[str, Horizon | None] = {}
        """By the key under which they are to be stored; None = not any more."""
        self.drops: Counter[str] = Counter()
        self.notices: list[Notice] = []
        self.unreadable = Unreadable()
        for horizon in (Horizon.decode(stored[key]) for key in stored if key.startswith(HORIZONS)):
            self._horizons[horizon.home] = horizon
        for key in sorted((key for key in stored if not key.startswith("@")), key=_serial_of):
            saved = decode(stored[key])
            self._enter(Stream(key, saved.name, homes.of(saved.name), saved.place, serial=_serial_of(key), saved=saved))

    def _enter(self, stream: Stream) -> None:
        self.streams[stream.key] = stream
        self.live_directories[os.path.dirname(stream.home)] += stream.home not in self.by_home
        self.by_home[stream.home].append(stream)
        self._index(stream)

    def _index(self, stream: Stream) -> None:
        if stream.state is State.LOST:
            self.lost.add(stream)
            self.in_directory[os.path.dirname(stream.home)].add(stream)
            return
        self.by_id[stream.place.id] = stream
        self.in_directory[os.path.dirname(stream.place.path)].add(stream)

    def add(self, name: str, home: str, place: Place, now: float) -> Stream:
        """Begin a new content at offset 0."""
        serial = self.next_serial
        self.next_serial += 1
        stream = Stream(f"{place.inode:x}-{serial:x}", name, home, place, serial=serial)
        stream.active_at = now
        self._enter(stream)
        self.changed[stream.key] = stream
        self.touched.append(stream)
        self.notices.append(Notice("found", name))
        self.unreadable.clear(name)
        return stream

    def put_last(self, stream: Stream) -> None:
        """A content of which nothing was read yet comes after all others at its home: it gets a new key."""
        del self.streams[stream.key]
        self.changed.pop(stream.key, None)
        self.forgotten.append(stream.key)
        stream.serial, self.next_serial = self.next_serial, self.next_serial + 1
        stream.key = f"{stream.place.inode:x}-{stream.serial:x}"
        self.streams[stream.key] = self.changed[stream.key] = stream
        self.by_home[stream.home].remove(stream)
        self.by_home[stream.home].append(stream)

    def move(self, stream: Stream, place: Place) -> None:
        """A content is at another place now."""
        self._unindex(stream)
        self.lost.discard(stream)
        stream.move(place)
        self._index(stream)
        self.changed[stream.key] = stream
        self.touched.append(stream)

    def hold(self, stream: Stream, size: int, now: float) -> None:
        """The file, of that size, has no name any more, but we have it open."""
        stream.state, stream.cause, stream.left_at, stream.more = State.HELD, Cause.REMOVED, now, True
        stream.left_size = size
        self.touched.append(stream)
        self.notices.append(Notice(Cause.REMOVED, stream.place.path))

    def lose(self, stream: Stream, cause: Cause, now: float) -> None:
        """The content is not where it was: it may be found elsewhere, and is forgotten if not."""
        self._unindex(stream)
        stream.let_go()
        if stream.state is State.PLACED:
            self.notices.append(Notice(cause, stream.place.path))
        stream.state, stream.cause, stream.left_at, stream.more, stream.is_uncounted = State.LOST, cause, now, False, True
        self._index(stream)
        self.changed[stream.key] = stream

    def forget(self, stream: Stream) -> None:
        """Nothing can match it any more."""
        self._unindex(stream)
        self.lost.discard(stream)
        del self.streams[stream.key]
        self.by_home[stream.home].remove(stream)
        if not self.by_home[stream.home]:
            del self.by_home[stream.home]
            self.live_directories -= Counter([os.path.dirname(stream.home)])
            self._move_horizon(stream.home, 0)
        elif stream.offset:
            self.raise_horizon(stream.home, stream.mtime_ns)
        self.changed.pop(stream.key, None)
        self.forgotten.append(stream.key)

    def horizon(self, home: str) -> int:
        """Time (ns) before which what was written last is not for us: older than our time, or read and forgotten."""
        known = self._horizons.get(home)
        return known.mtime_ns if known else 0

    def raise_horizon(self, home: str, mtime_ns: int) -> None:
        """Nothing that was last written until then, and is not known, is to be read at this home."""
        if mtime_ns > self.horizon(home):
            self._move_horizon(home, mtime_ns)

    def _move_horizon(self, home: str, mtime_ns: int) -> None:
        if mtime_ns:
            horizon = self._horizons[home] = Horizon(home, mtime_ns)
            self.moved_horizons[HORIZONS + horizon.key] = horizon
        elif gone := self._horizons.pop(home, None):
            self.moved_horizons[HORIZONS + gone.key] = None

    def _unindex(self, stream: Stream) -> None:
        if self.by_id.get(stream.place.id) is stream:
            del self.by_id[stream.place.id]
        for path in (stream.place.path, stream.home):
            directory = os.path.dirname(path)
            self.in_directory[directory].discard(stream)
            if not self.in_directory[directory]:
                del self.in_directory[directory]

    def earlier(self, stream: Stream) -> Iterable[Stream]:
        """The contents that came before this one at the same home."""
        for other in self.by_home[stream.home]:
            if other is stream:
                return
            yield other


class Homes:
    """Where the live file of a name is: its real path, or, if the name looks rotated from another that is asked for, that one's."""

    def __init__(self, is_included: Callable[[str], bool]) -> None:
        self._is_included = is_included
        self._directories: dict[str, str] = {}
        """Real paths of directories: resolved once."""

    def of(self, name: str, real: str = "") -> str:
        """The home of what is found under a name; `real` is the real path, if known."""
        real = real or self._resolve(name)
        directory = os.path.dirname(name)
        for base in reversed(possible_bases(os.path.basename(name))):
            # app-2.log may as well be the log of a second worker: only what comes behind the whole name tells for sure
            if name.startswith(os.path.join(directory, base)) and self._is_included(os.path.join(directory, base)):
                return os.path.join(os.path.dirname(real), base)
        return real

    def _resolve(self, name: str) -> str:
        if os.path.islink(name):
            return os.path.realpath(name)
        directory, base = os.path.split(name)
        if directory not in self._directories:
            self._directories[directory] = os.path.realpath(directory)
        return os.path.join(self._directories[directory], base)


def _serial_of(key: str) -> int:
    return int(key.rpartition("-")[2], 16)
