"""What files are that no known content lies in: the copies and compressed forms of known contents, or new ones.

Works on whole directories at once, in this order: known contents by inode (`locate`); contents that still are there by their bytes; lost
contents by what was read of them, whoever matches furthest first; what is left is new.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.crash import crash_point
from agent.tail.archives import Archives
from agent.tail.candidates import Candidates
from agent.tail.decide import Row, by_age, bytes_missed
from agent.tail.line_reader import ContentChangedError
from agent.tail.locate import RESTLESS, Locator, Undecided
from agent.tail.names import without_gzip
from agent.tail.open import inode_generation
from agent.tail.pool import Peek
from agent.tail.position import Cause
from agent.tail.reader import COMPARED, equal_so_far
from agent.tail.recognise import Claim, Recognizer, place_of
from agent.tail.stream import State
from agent.tail.table import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.tail.decide import Candidate
    from agent.tail.discover import Globs, Listings
    from agent.tail.pool import Pool
    from agent.tail.position import Place
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream
    from agent.tail.table import Options, Table


_ROTATION: Final = 10.0
"""Seconds that may pass between the copy of a file and its truncation."""


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
        self._follows = options.follow_rotated
        self.archives = Archives(listings, table.live_directories, options.rotated_to, enabled=options.follow_rotated)
        self._candidates = Candidates(table, globs, listings, self.archives, options)
        self._undecided = Undecided()
        self._locator = Locator(table, pool, listings, self.archives, self._undecided)
        self._recognizer = Recognizer(table, pool, self.archives)
        self._sightings: dict[tuple[int, int], Sighting] = {}
        self._locator.rechecked = self._candidates.rechecked
        self.rechecked = self._candidates.rechecked
        self.lose = self._locator.lose
        self.was_mistaken = self._recognizer.was_mistaken
        self.is_undecided = self._undecided.blocks
        self._waiting: set[str] = set()
        """Homes of files that were left for later in this look."""
        self._now = 0.0

    def run(self, directories: Iterable[str], now: float, *, from_end: bool = False) -> None:
        """Bring everything in these directories up to date."""
        self._now = now
        self._waiting = set()
        directories = list(directories)
        self.rechecked.difference_update(directories)
        self._undecided.begin(directories, now)
        self._locator.begin()
        listings = [self._listings.get(directory) for directory in directories]
        for listing in listings:
            self._locator.locate(listing)
        directories += self._where_lost_ones_may_be(directories)
        listings = [self._listings.get(directory) for directory in directories]
        self._locator.test(dict.fromkeys(home for listing in listings for _, home in self._candidates.rotated(listing)))
        candidates = sorted(self._candidates.find(directories), key=by_age)
        for home in self._candidates.moving:
            self._undecided.add(home, home)
        self._settle(candidates, from_end=from_end)
        self._undecided.end()
        self._locator.forget_missing()

    def _where_lost_ones_may_be(self, looked_at: list[str]) -> list[str]:
        """Directories to look at besides, because what was lost just now may have been rotated there before."""
        homes = sorted({os.path.dirname(stream.home) for stream in self._table.lost if stream.is_uncounted})
        return [path for path in dict.fromkeys(path for home in homes for path in self.archives.of(home)) if path not in looked_at]

    # -- what they are

    def _settle(self, candidates: list[Candidate], *, from_end: bool) -> None:
        """Give every candidate to the lost content that it continues; what is left is new, a copy, or not asked for."""
        live = {one.home: one.found.mtime_ns for one in candidates if one.is_live}
        for candidate in candidates:
            self._sightings[candidate.found.id] = self._sight(candidate, live.get(candidate.home), len(candidates))
        rest = candidates  # what is there at the very first look is passed over at once: after a kill it could not be told from what came since
        if not from_end:
            rest = [one for one in candidates if not self._attempt(one, self._wait)]
            self._recognizer.begin(candidates)
            rest = [one for one in rest if not self._attempt(one, self._adopt)]
            rest = self._give_away(rest)
        self._count_missed()
        for candidate in rest:
            if from_end or not self._is_asked_for(candidate) or not self._attempt(candidate, self._is_copy_of_new):
                del self._sightings[candidate.found.id]
                self._judge(candidate, from_end=from_end)

    def _wait(self, candidate: Candidate) -> bool:
        """Whether to wait for what becomes of a file: it is still being written, or may be the copy of one that is still being read."""
        if not (candidate.is_live or self._sightings[candidate.found.id].at_rest):
            self._undecided.add(candidate.home, candidate.found.id)
        elif not self._undecided.blocks(candidate.home) and not self._is_copy_of_living(candidate):
            return False
        self._recheck(candidate)
        return True

    def _sight(self, candidate: Candidate, live_mtime_ns: int | None, new: int) -> Sighting:
        """What is to be remembered of a file until it is clear what it is."""
        file, before = candidate.found, self._sightings.get(candidate.found.id)
        since = self._table.next_serial
        if live_mtime_ns is not None and file.mtime_ns >= live_mtime_ns:
            since += new  # it was written after the live file was, so that was there before it, though both are seen only now
        if before is None:
            return Sighting(since, self._now, file.size, file.mtime_ns, at_rest=False)
        if (before.size, before.mtime_ns) == (file.size, file.mtime_ns):
            return before._replace(at_rest=before.at_rest or before.first < self._now)
        return before._replace(since=since, size=file.size, mtime_ns=file.mtime_ns, at_rest=self._undecided.is_over(before.first, RESTLESS))

    def _is_asked_for(self, candidate: Candidate) -> bool:
        """Whether to read what holds nothing that is known: a glob wants it, or it was the live file for a while when nobody looked."""
        return candidate.included or (candidate.may_begin and candidate.found.mtime_ns > self._table.horizon(candidate.home))

    def _judge(self, candidate: Candidate, *, from_end: bool) -> None:
        """This is nothing that is known."""
        if self._is_asked_for(candidate):
            self._begin(candidate, from_end=from_end and candidate.included)
        else:
            self._candidates.dismissed[candidate.found.id] = candidate.found.mtime_ns

    def _is_copy_of_new(self, candidate: Candidate) -> bool:
        """Whether to wait for what this is a copy of, which is new as well."""
        is_copy = self._follows and self._recognizer.is_copy_of_new(candidate)
        if is_copy:
            self._recheck(candidate)
        return is_copy

    def _attempt(self, candidate: Candidate, check: Callable[[Candidate], bool]) -> bool:
        """Check; a file that cannot be read now is left for later, for to take it for a new one might repeat everything."""
        try:
            return check(candidate)
        except FileNotFoundError:  # it has another name by now
            self._undecided.add(candidate.home, candidate.found.id)
            self._recheck(candidate)
            return True
        except OSError as error:
            self._candidates.refuse(candidate.found.path, error)
            self._recheck(candidate)
            return True

    def _recheck(self, candidate: Candidate) -> None:
        self._waiting.add(candidate.home)
        self.rechecked.add(os.path.dirname(candidate.name if candidate.included else candidate.found.path))

    # -- contents that are lost

    def _give_away(self, candidates: list[Candidate]) -> list[Candidate]:
        """Give files to the lost contents that they hold, the furthest match first; return what is left, and could be looked into."""
        claims: list[Claim] = []

        def collect(candidate: Candidate) -> bool:
            claims.extend(self._recognizer.claims(candidate, candidates.index(candidate)))
            return False

        rest = [one for one in candidates if not self._attempt(one, collect)] if self._table.lost else candidates
        left = dict.fromkeys(rest)
        for claim in sorted(claims, key=Claim.rank):
            if claim.stream.state is State.LOST and claim.candidate in left and self._attempt(claim.candidate, partial(self._take, claim)):
                del left[claim.candidate]
        return [one for one in left if not (claims and self._attempt(one, self._adopt))]  # the copy of what was found is one, too

    def _take(self, claim: Claim, candidate: Candidate) -> bool:
        """Go on with a content in the file that holds it, unless that is ambiguous and not to be; whether that was decided."""
        if claim.row is Row.CUT_SHORT and claim.stream.home in self._undecided:  # what is not clear yet may be the whole of it
            self._recheck(candidate)
            return True
        if claim.row.is_ambiguous:
            self._table.notices.append(Notice("assumed" if claim.row.is_same else "reread", candidate.found.path))
        if claim.row.is_same:
            with Peek(self._pool, place_of(candidate)) as reader:
                self._take_over(claim, reader)
        return claim.row.is_same

    def _take_over(self, claim: Claim, reader: Reader) -> None:
        crash_point("tail.rotation_found")
        stream, candidate, size = claim.stream, claim.candidate, claim.size
        if size is not None:
            self._missed(stream, bytes_missed(stream.size, stream.offset, size))
        stream.is_uncounted = False
        event = "rewritten" if claim.row in {Row.REWRITTEN, Row.REWRITTEN_ALONE} else "compressed" if candidate.gzip else "copied"
        self._table.notices.append(Notice(event, candidate.found.path))
        if size is not None and size < stream.offset:
            stream.cut_back(size, reader)
        if not stream.offset:  # what is begun later in this look is put before it or behind it by the time of its last write
            stream.size, stream.mtime_ns = candidate.found.size, candidate.found.mtime_ns
        self._table.move(stream, place_of(candidate))

    # -- contents that are still there

    def _is_copy_of_living(self, candidate: Candidate) -> bool:
        """Whether this is (as yet) the copy of a file that is still being read, made by a rotation that goes on.

        A copy is made of a live file that was there before; a compressed one also of a rotated file, beside it, or under a later name
        when that is gone.
        """
        seen_since = self._sightings[candidate.found.id].since
        for stream in self._table.by_home.get(candidate.home, ()):
            if stream.state is State.LOST or stream.place.gzip or candidate.found.path == stream.home:
                continue
            is_nameless = stream.state is State.HELD or self._locator.is_missing(stream)
            is_its_gzip = candidate.gzip and (is_nameless or without_gzip(candidate.found.path) == stream.place.path)
            possible = is_its_gzip or (not stream.is_rotated and stream.born < seen_since)
            if possible and self._is_prefix(candidate, stream):
                return not self._is_over(candidate, stream)
        return False

    def _is_over(self, candidate: Candidate, stream: Stream) -> bool:
        """Whether to wait no longer for what becomes of the live file: what it begins with is a mere head, and may be another content."""
        if not self._undecided.is_over(self._sightings[candidate.found.id].first, _ROTATION):
            return False
        try:
            is_over = self._recognizer.is_mere_head(candidate, stream)
        except ContentChangedError:
            return False
        if is_over:
            self._table.notices.append(Notice("reread", candidate.found.path))
        return is_over

    def _is_prefix(self, candidate: Candidate, stream: Stream) -> bool:
        with Peek(self._pool, place_of(candidate)) as copy:
            try:
                original = self._pool.get(stream)
                if equal_so_far(copy, original, None if candidate.gzip else candidate.found.size):
                    return True
                stream.check(original)
            except ContentChangedError:  # emptied just now: its copy is found when that is known
                return True
        return False

    def _adopt(self, candidate: Candidate) -> bool:
        """Begin a copy of what is still there behind what was read of it; whether it is one."""
        known = self._recognizer.copied_from(candidate) if self._follows else 0
        if known > 0:
            stream = self._add(candidate)
            self._skip(stream, known)
            self._table.notices.append(Notice("rewritten" if candidate.is_live else "copied", candidate.found.path))
        elif known < 0:
            self._recheck(candidate)
        return bool(known)

    # -- what is new

    def _begin(self, candidate: Candidate, *, from_end: bool) -> None:
        if candidate.home not in self._table.by_home:
            self._table.raise_horizon(candidate.home, self._candidates.newest_beside(candidate.home))
        stream = self._add(candidate)
        if not candidate.is_live:
            self._put_younger_last(stream)
        if from_end:
            self._skip_present(stream)

    def _add(self, candidate: Candidate) -> Stream:
        stream = self._table.add(candidate.name, candidate.home, self._place_of(candidate), self._now)
        stream.size, stream.mtime_ns = candidate.found.size, candidate.found.mtime_ns
        stream.note_read()
        return stream

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
            self._skip(stream, stream.size - unended)
        except OSError as error:  # then it is read from its beginning once it can be: rather too much than too little
            self._candidates.refuse(stream.name, error)

    def _skip(self, stream: Stream, size: int) -> None:
        """Take what is before an offset as read."""
        reader = self._pool.get(stream)
        stream.start_at(size, reader)
        stream.position(size, b"", reader)

    # -- what is missing

    def _count_missed(self) -> None:
        """Count what the newly lost contents had and nobody has now: as soon as nothing waits that may yet have it."""
        for stream in self._table.lost:
            if stream.is_uncounted and stream.home not in self._undecided and stream.home not in self._waiting:
                self._count(stream)

    def _count(self, stream: Stream) -> None:
        stream.is_uncounted = False
        if not stream.active_at and stream.place.path == stream.home:  # not seen since an earlier agent: it may have grown
            self._table.notices.append(Notice("vanished", stream.place.path))
        self._missed(stream, 0 if stream.place.gzip else bytes_missed(stream.size, stream.offset))

    def forget(self, stream: Stream) -> None:
        """Nothing can match a lost content any more."""
        if stream.is_uncounted:
            self._count(stream)
        self._table.forget(stream)

    def _missed(self, stream: Stream, missed: int) -> None:
        if missed:
            self._table.drops["truncated_window" if stream.cause is Cause.TRUNCATED else "rotated_away"] += missed
