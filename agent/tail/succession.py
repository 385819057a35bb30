"""Who continues what, after names changed in a directory: finds renamed, copied and compressed contents again, and new ones.

Works on a whole directory at once, in this order: known contents by inode; lost contents by content; what is left is new.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.crash import crash_point
from agent.tail.candidates import Candidates
from agent.tail.decide import by_age, bytes_missed
from agent.tail.names import is_rotated, without_gzip
from agent.tail.open import inode_generation
from agent.tail.pool import Peek
from agent.tail.position import Cause
from agent.tail.reader import COMPARED, equal_so_far
from agent.tail.recognise import by_proof, is_at, is_continued, may_be, place_of
from agent.tail.stream import ContentChangedError, State
from agent.tail.table import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.tail.decide import Candidate
    from agent.tail.discover import Globs, Listing, Listings
    from agent.tail.pool import Pool
    from agent.tail.position import Place
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream
    from agent.tail.table import Options, Table

_RESTLESS: Final = 2.0
"""Seconds after which a file that is still being written is taken for what it is by then."""
_PATIENT: Final = 10.0
"""Seconds after which a home is read although each look finds another thing there that is not clear: rather in disorder than too late."""
_MISSING: Final = 10.0
"""Seconds after which a file is taken for removed, in a directory that changes so fast that no reading of it is certain."""


class Sighting(NamedTuple):
    """How a file looked that may be a copy."""

    since: int
    """The serial that was next when it was seen first, or last in change: what has a lower one was there before."""
    first: float
    """When it was seen first, monotonic seconds."""
    size: int
    mtime_ns: int
    at_rest: bool
    """Nothing was written between two looks; or we have waited long enough."""


class Succession:
    """Brings the table up to date with the directories."""

    def __init__(self, table: Table, pool: Pool, globs: Globs, listings: Listings, options: Options) -> None:
        self._table = table
        self._pool = pool
        self._listings = listings
        self._candidates = Candidates(table, globs, listings, options)
        self._mistaken: set[tuple[Stream, tuple[int, int]]] = set()
        """Files that looked like a lost content but were not."""
        self._unsettled_before: dict[str, dict[object, float]] = {}
        self._restless: dict[str, float] = {}
        """Homes at which no look found everything clear, and since when."""
        self._missing: dict[Stream, float] = {}
        """Contents that are not where they were and were not found yet, and since when."""
        self._sightings: dict[tuple[int, int], Sighting] = {}
        self.unsettled: dict[str, dict[object, float]] = {}
        """Homes beside which it is not clear yet what something is: what, and since when."""
        self.suspects = self._candidates.suspects
        self.now = 0.0

    def run(self, directories: Iterable[str], now: float, *, from_end: bool = False) -> None:
        """Bring everything in these directories up to date."""
        self.now = now
        directories = list(directories)
        self.suspects.difference_update(directories)
        self._unsettled_before = self.unsettled
        self.unsettled = {home: what for home, what in self.unsettled.items() if os.path.dirname(home) not in directories}
        for directory in directories:
            self._locate(self._listings.get(directory))
        listings = [self._listings.get(directory) for directory in directories]
        self._test({home for listing in listings for _, home in self._candidates.rotated(listing)})
        candidates = sorted(self._candidates.find(directories), key=by_age)
        for home in self._candidates.moving:
            self._unsettle(home, home)
        self._settle(candidates, from_end=from_end)
        self._restless = {home: self._restless.get(home, now) for home in self.unsettled}
        self._missing = {stream: since for stream, since in self._missing.items() if stream.key in self._table.streams}

    # -- known contents, by inode

    def _locate(self, listing: Listing) -> None:
        """Find where the contents of a directory are now."""
        names: dict[int, str] | None = None
        for stream in list(self._table.in_directory.get(listing.path, ())):
            entry = listing.entries.get(os.path.basename(stream.place.path))
            is_there = entry is not None and entry.inode == stream.place.inode and not entry.is_link
            if is_there and self._is_used_anew(stream):
                self.lose(stream, Cause.REPLACED)
            if is_there or stream.state is not State.PLACED or is_at(stream.place.path, stream):
                self._missing.pop(stream, None)
            else:
                names = names or {entry.inode: name for name, entry in listing.entries.items() if not entry.is_link}
                path = os.path.join(listing.path, names.get(stream.place.inode, ""))
                if not self._is_on_its_way(stream, listing, path):
                    self._relocate(stream, path)

    def _is_used_anew(self, stream: Stream) -> bool:
        """Whether a compressed file was replaced by another with the same name and inode while nobody looked."""
        if not stream.place.gzip or stream.is_verified or not stream.place.generation or stream.state is not State.PLACED:
            return False
        try:
            with Peek(self._pool, stream.place) as reader:
                return inode_generation(reader.fd) not in {0, stream.place.generation}
        except OSError:
            return False

    def _is_on_its_way(self, stream: Stream, listing: Listing, path: str) -> bool:
        """Whether names change faster than we look: then a file that is listed, but not there any more, or is not listed, may be anywhere.

        Until it is found nothing is read of its home, though not for long: what comes next could be read before it. One that is listed
        is found sooner or later; one that is not is taken for removed when it was missing for long.
        """
        is_listed = path != os.path.join(listing.path, "")
        since = self._missing.setdefault(stream, self.now)
        is_gone = not is_listed and (listing.is_certain() or self.now - since >= _MISSING)
        if is_gone or is_at(path, stream):
            self._missing.pop(stream)
            return False
        self._unsettle(stream.home, stream)
        self.suspects.add(listing.path)
        return True

    def _unsettle(self, home: str, what: object) -> None:
        """Take no decision at a home before the next look: what comes first may be what is not clear yet."""
        since = self._unsettled_before.get(home, {}).get(what, self.now)
        self.unsettled.setdefault(home, {})[what] = since

    def _relocate(self, stream: Stream, path: str) -> None:
        crash_point("tail.rotation_found")
        cause = self._why_not(stream, path)
        if not cause:
            self._table.notices.append(Notice("renamed", stream.place.path))
            self._table.move(stream, stream.place._replace(path=path))
        elif cause is Cause.REMOVED and self._pool.peek(stream) is not None and not stream.place.gzip:
            self._table.hold(stream, self.now)
        else:
            self.lose(stream, cause)

    def _why_not(self, stream: Stream, path: str) -> Cause:
        """Why a content is not at a path whose inode has the number of its own, NONE if it is."""
        if not is_at(path, stream):
            return Cause.REMOVED
        held = self._pool.peek(stream)
        try:
            if held is not None:  # then the inode cannot have been used anew
                stream.check(held)
                return Cause.NONE
            with Peek(self._pool, stream.place._replace(path=path)) as reader:
                if not may_be(stream, path, inode_generation(reader.fd)):
                    return Cause.REPLACED
                stream.check(reader)
        except ContentChangedError as error:
            return error.cause
        except OSError:
            pass  # it is compared when it can be read
        return Cause.NONE

    def lose(self, stream: Stream, cause: Cause) -> None:
        """A content is not where it was."""
        if cause is Cause.TRUNCATED:
            crash_point("tail.truncated")
        self._table.lose(stream, cause, self.now)
        self._pool.release(stream)

    def is_unsettled(self, home: str) -> bool:
        """Whether to read nothing of a home, because it is not clear what comes first: but for no file for long."""
        if self.now - self._restless.get(home, self.now) >= _PATIENT:
            return False
        return any(self.now - since < _RESTLESS for since in self.unsettled.get(home, {}).values())

    def was_mistaken(self, stream: Stream) -> None:
        """A file was taken for a lost content, and is not."""
        self._mistaken.add((stream, stream.place.id))

    # -- what may be another by now

    def _test(self, homes: Iterable[str]) -> None:
        """Where something new lies beside a live file, see whether that still is what it was: the new one may be its copy."""
        for home in homes:
            for stream in list(self._table.by_home[home]):
                if stream.state is not State.LOST and not stream.place.gzip:
                    self._test_one(stream)

    def _test_one(self, stream: Stream) -> None:
        try:
            stream.check(self._pool.get(stream))
        except ContentChangedError as error:
            stream.disbelieve()
            self.lose(stream, error.cause)
        except OSError:
            return  # told, and tried again, when it is to be read

    # -- what they are

    def _settle(self, candidates: list[Candidate], *, from_end: bool) -> None:
        """Give every candidate, oldest first, to the lost content that it continues; what is left is new, a copy, or not asked for."""
        live = {one.home: one.found.mtime_ns for one in candidates if one.is_live}
        for candidate in candidates:
            self._sightings[candidate.found.id] = self._sight(candidate, live.get(candidate.home), len(candidates))
        rest = candidates  # what is there at the very first look is passed over at once: after a kill it could not be told from what came since
        if not from_end:
            rest = [one for one in candidates if not self._attempt(one, self._wait) and not self._attempt(one, self._claim)]
        self._count_missed()
        for candidate in rest:
            del self._sightings[candidate.found.id]
            self._judge(candidate, from_end=from_end)

    def _wait(self, candidate: Candidate) -> bool:
        """Whether to wait for what becomes of a file: it is still being written, or may be the copy of one that is still being read."""
        if not (candidate.is_live or self._sightings[candidate.found.id].at_rest):
            self._unsettle(candidate.home, candidate.found.id)
        elif not self.is_unsettled(candidate.home) and not self._is_copy_of_living(candidate):
            return False
        self._suspect(candidate)
        return True

    def _sight(self, candidate: Candidate, live_mtime_ns: int | None, new: int) -> Sighting:
        """What is to be remembered of a file until it is clear what it is."""
        file, before = candidate.found, self._sightings.get(candidate.found.id)
        since = self._table.next_serial
        if live_mtime_ns is not None and file.mtime_ns >= live_mtime_ns:
            since += new  # it was written after the live file was, so that was there before it, though both are seen only now
        if before is None:
            return Sighting(since, self.now, file.size, file.mtime_ns, at_rest=False)
        if (before.size, before.mtime_ns) == (file.size, file.mtime_ns):
            return before._replace(at_rest=before.at_rest or before.first < self.now)
        return before._replace(since=since, size=file.size, mtime_ns=file.mtime_ns, at_rest=self.now - before.first > _RESTLESS)

    def _judge(self, candidate: Candidate, *, from_end: bool) -> None:
        """This is nothing that is known: it is from before our time, or was the live file for a while when nobody looked."""
        if candidate.included or candidate.found.mtime_ns > self._table.horizon(candidate.home):
            self._begin(candidate, from_end=from_end and candidate.included)
        else:
            self._candidates.dismissed[candidate.found.id] = candidate.found.mtime_ns

    def _attempt(self, candidate: Candidate, check: Callable[[Candidate], bool]) -> bool:
        """Check; a file that cannot be read now is left for later, for to take it for a new one might repeat everything."""
        try:
            return check(candidate)
        except FileNotFoundError:  # it has another name by now
            self._unsettle(candidate.home, candidate.found.id)
            self._suspect(candidate)
            return True
        except OSError as error:
            self._candidates.refuse(candidate.found.path, error)
            self._suspect(candidate)
            return True

    def _suspect(self, candidate: Candidate) -> None:
        self.suspects.add(os.path.dirname(candidate.name if candidate.included else candidate.found.path))

    def _claim(self, candidate: Candidate) -> bool:
        with Peek(self._pool, place_of(candidate)) as reader:
            generation = inode_generation(reader.fd)
            for stream in sorted(self._table.lost, key=by_proof):
                is_mistaken = (stream, candidate.found.id) in self._mistaken
                if not is_mistaken and is_continued(stream, candidate, reader, generation):
                    self._take_over(stream, candidate, reader)
                    return True
        return False

    def _take_over(self, stream: Stream, candidate: Candidate, reader: Reader) -> None:
        crash_point("tail.rotation_found")
        size = candidate.found.size
        if not candidate.gzip:
            self._missed(stream, bytes_missed(stream.size, stream.offset, size))
        stream.is_uncounted = False
        self._table.notices.append(Notice("compressed" if candidate.gzip else "copied", candidate.found.path))
        if not candidate.gzip and size < stream.offset:
            stream.cut_back(size, reader)
        if not stream.offset:  # what is begun later in this look is put before it or behind it by the time of its last write
            stream.size, stream.mtime_ns = size, candidate.found.mtime_ns
        self._table.move(stream, place_of(candidate))

    def _is_copy_of_living(self, candidate: Candidate) -> bool:
        """Whether this is (as yet) the copy of a file that is still being read, made by a rotation that goes on.

        A copy is made of a live file that was there before; a compressed one also of a rotated file, beside it.
        """
        seen_since = self._sightings[candidate.found.id].since
        base = os.path.basename(candidate.found.path)
        for stream in self._table.in_directory.get(os.path.dirname(candidate.found.path), ()):
            if stream.state is State.LOST or stream.place.gzip or not is_rotated(os.path.basename(stream.home), base):
                continue
            is_its_gzip = candidate.gzip and (stream.state is State.HELD or without_gzip(candidate.found.path) == stream.place.path)
            possible = is_its_gzip or (not stream.is_rotated and stream.born < seen_since)
            if possible and self._is_prefix(candidate, stream):
                return True
        return False

    def _is_prefix(self, candidate: Candidate, stream: Stream) -> bool:
        with Peek(self._pool, place_of(candidate)) as copy:
            try:
                return equal_so_far(copy, self._pool.get(stream), None if candidate.gzip else candidate.found.size)
            except ContentChangedError:
                return False

    def _begin(self, candidate: Candidate, *, from_end: bool) -> None:
        if candidate.home not in self._table.by_home:
            self._table.raise_horizon(candidate.home, self._candidates.newest_beside(candidate.home))
        stream = self._table.add(candidate.name, candidate.home, self._place_of(candidate), self.now)
        stream.size, stream.mtime_ns = candidate.found.size, candidate.found.mtime_ns
        if not candidate.is_live:
            self._put_younger_last(stream)
        stream.note_read()
        if from_end:
            self._skip_present(stream)

    def _place_of(self, candidate: Candidate) -> Place:
        """The place, with the inode's generation from the beginning: before anything is read, nothing else tells the file again."""
        place = place_of(candidate)
        try:
            with Peek(self._pool, place) as reader:
                return place._replace(generation=inode_generation(reader.fd))
        except OSError:  # it will be known when it can be opened
            return place

    def _put_younger_last(self, new: Stream) -> None:
        """What was written before a rotation comes first, also where what came later was known before: as long as nothing of that was read."""
        unread = [one for one in self._table.by_home[new.home] if one is not new and not one.offset]
        for stream in unread:
            was_live = stream.place.path == new.home
            if (was_live and stream.state is State.PLACED) or (stream.mtime_ns, was_live) > (new.mtime_ns, False):
                self._table.put_last(stream)

    def _skip_present(self, stream: Stream) -> None:
        """Begin behind the last whole line: one that is being written now will be read whole."""
        if stream.place.gzip:
            stream.drained, stream.more = True, False
            return
        try:
            reader = self._pool.get(stream)
            end = reader.read(max(0, stream.size - COMPARED), min(stream.size, COMPARED))
            unended = len(end) - end.rfind(b"\n") - 1 if b"\n" in end else 0
            stream.start_at(stream.size - unended, reader)
            stream.position(stream.offset, b"", reader)
        except OSError as error:  # then it is read from its beginning once it can be: rather too much than too little
            self._candidates.refuse(stream.name, error)

    # -- what is missing

    def _count_missed(self) -> None:
        """Count what the newly lost contents had and nobody has now."""
        for stream in self._table.lost:
            if stream.is_uncounted and stream.home not in self.unsettled:
                stream.is_uncounted = False
                self._missed(stream, 0 if stream.place.gzip else bytes_missed(stream.size, stream.offset))

    def _missed(self, stream: Stream, missed: int) -> None:
        if missed:
            self._table.drops["truncated_window" if stream.cause is Cause.TRUNCATED else "rotated_away"] += missed
