"""The known contents, by key, by inode and by directory, and their events since the last report."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.tail.content import Content, ContentState
from agent.tail.names import possible_bases
from agent.tail.position import Cause, Horizon, decode
from agent.tail.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.tail.position import FilePlace

SERIAL: Final = "@next"
"""The key of the number of the next content. If it exists, this is not the first start ever."""
HORIZONS: Final = "@before-"
"""Beginning of the keys of stored horizons."""


@dataclass(frozen=True, slots=True)
class TailOptions:
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


class FileNotice(NamedTuple):
    """Something that happened to a file; `event` as `what` in `FileChanged`, or `found`, or `unreadable` with an error (a damaged compressed file)."""

    event: str
    path: str
    error: str = ""


class ContentTable:
    """All contents. A change of one is noted here, so that its position is stored with the next batch."""

    def __init__(self, stored: Mapping[str, bytes], live_paths: LivePaths) -> None:
        """Take the stored positions; PositionError if one cannot be read."""
        self.live_paths = live_paths
        self.is_first_start = SERIAL not in stored
        self.next_serial = int(stored.get(SERIAL, b"1"))
        self.contents: dict[str, Content] = {}
        self.by_id: dict[tuple[int, int], Content] = {}
        self.in_directory: dict[str, set[Content]] = defaultdict(set)
        self.by_live_path: dict[str, list[Content]] = defaultdict(list)
        self.live_directories: Counter[str] = Counter()
        """How many live paths are in each directory."""
        self.lost: set[Content] = set()
        self.changed: dict[str, Content] = {}
        """Contents whose position must be stored."""
        self.touched: list[Content] = []
        """Contents that came or moved: they are polled at once."""
        self.forgotten: list[str] = []
        self._horizons: dict[str, Horizon] = {}
        self.moved_horizons: dict[str, Horizon | None] = {}
        """The positions to store, by key; None = to delete."""
        self.drops: Counter[str] = Counter()
        self.notices: list[FileNotice] = []
        self.unreadable = Unreadable()
        for horizon in (Horizon.decode(stored[key]) for key in stored if key.startswith(HORIZONS)):
            self._horizons[horizon.live_path] = horizon
        for key in sorted((key for key in stored if not key.startswith("@")), key=_serial_of):
            saved = decode(stored[key])
            self._enter(Content(key, saved.name, live_paths.of(saved.name), saved.place, serial=_serial_of(key), saved=saved))

    def _enter(self, content: Content) -> None:
        self.contents[content.key] = content
        self.live_directories[os.path.dirname(content.live_path)] += content.live_path not in self.by_live_path
        self.by_live_path[content.live_path].append(content)
        self._index(content)

    def _index(self, content: Content) -> None:
        if content.state is ContentState.LOST:
            self.lost.add(content)
            self.in_directory[os.path.dirname(content.live_path)].add(content)
            return
        self.by_id[content.place.id] = content
        self.in_directory[os.path.dirname(content.place.path)].add(content)

    def add(self, name: str, live_path: str, place: FilePlace, now: float) -> Content:
        """Begin a new content at offset 0."""
        serial = self.next_serial
        self.next_serial += 1
        content = Content(f"{place.inode:x}-{serial:x}", name, live_path, place, serial=serial)
        content.active_at = now
        self._enter(content)
        self.changed[content.key] = content
        self.touched.append(content)
        self.notices.append(FileNotice("found", name))
        self.unreadable.clear(name)
        return content

    def put_last(self, content: Content) -> None:
        """A content of which nothing was read yet comes after all others at its live path: it gets a new key."""
        del self.contents[content.key]
        self.changed.pop(content.key, None)
        self.forgotten.append(content.key)
        content.serial, self.next_serial = self.next_serial, self.next_serial + 1
        content.key = f"{content.place.inode:x}-{content.serial:x}"
        self.contents[content.key] = self.changed[content.key] = content
        self.by_live_path[content.live_path].remove(content)
        self.by_live_path[content.live_path].append(content)

    def move(self, content: Content, place: FilePlace) -> None:
        """A content is at another place now."""
        self._unindex(content)
        self.lost.discard(content)
        content.move(place)
        self._index(content)
        self.changed[content.key] = content
        self.touched.append(content)

    def hold(self, content: Content, size: int, now: float) -> None:
        """The file, of that size, has no name any more, but we have it open."""
        content.state, content.cause, content.left_at, content.more = ContentState.HELD, Cause.REMOVED, now, True
        content.left_size = size
        self.touched.append(content)
        self.notices.append(FileNotice(Cause.REMOVED, content.place.path))

    def lose(self, content: Content, cause: Cause, now: float) -> None:
        """The content is not where it was: it may be found elsewhere, and is forgotten if not."""
        self._unindex(content)
        content.let_go()
        if content.state is ContentState.PLACED:
            self.notices.append(FileNotice(cause, content.place.path))
        content.state, content.cause, content.left_at, content.more, content.is_uncounted = ContentState.LOST, cause, now, False, True
        self._index(content)
        self.changed[content.key] = content

    def forget(self, content: Content) -> None:
        """It can't be found any more."""
        self._unindex(content)
        self.lost.discard(content)
        del self.contents[content.key]
        self.by_live_path[content.live_path].remove(content)
        if not self.by_live_path[content.live_path]:
            del self.by_live_path[content.live_path]
            self.live_directories -= Counter([os.path.dirname(content.live_path)])
            self._move_horizon(content.live_path, 0)
        elif content.offset:
            self.raise_horizon(content.live_path, content.mtime_ns)
        self.changed.pop(content.key, None)
        self.forgotten.append(content.key)

    def take_notices(self) -> list[FileNotice]:
        """Return the events of files since the last call."""
        notices, self.notices = self.notices, []
        return notices

    def horizon(self, live_path: str) -> int:
        """Time (ns) of the last write before which files are not read: older than the agent, or read and forgotten."""
        known = self._horizons.get(live_path)
        return known.mtime_ns if known else 0

    def raise_horizon(self, live_path: str, mtime_ns: int) -> None:
        """From now on, unknown files that were last written until then are not read at this live path."""
        if mtime_ns > self.horizon(live_path):
            self._move_horizon(live_path, mtime_ns)

    def _move_horizon(self, live_path: str, mtime_ns: int) -> None:
        if mtime_ns:
            horizon = self._horizons[live_path] = Horizon(live_path, mtime_ns)
            self.moved_horizons[HORIZONS + horizon.key] = horizon
        elif gone := self._horizons.pop(live_path, None):
            self.moved_horizons[HORIZONS + gone.key] = None

    def _unindex(self, content: Content) -> None:
        if self.by_id.get(content.place.id) is content:
            del self.by_id[content.place.id]
        for path in (content.place.path, content.live_path):
            directory = os.path.dirname(path)
            self.in_directory[directory].discard(content)
            if not self.in_directory[directory]:
                del self.in_directory[directory]

    def earlier(self, content: Content) -> Iterable[Content]:
        """The contents that came before this one at the same live path."""
        for other in self.by_live_path[content.live_path]:
            if other is content:
                return
            yield other


class LivePaths:
    """Where the live file of a name is: its real path, or, if the name looks rotated from another that is asked for, that one's."""

    def __init__(self, is_included: Callable[[str], bool]) -> None:
        self._is_included = is_included
        self._directories: dict[str, str] = {}
        """Real paths of directories: resolved once."""

    def of(self, name: str, real: str = "") -> str:
        """The live path of what is found under a name; `real` is the real path, if known."""
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
