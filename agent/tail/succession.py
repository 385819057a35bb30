"""Identifies files without a known content: copies and compressed forms of known contents, or new contents.

Works on whole directories at once, in this order: known contents by inode (`locate`); contents that still are there by their bytes; lost
contents by what was read of them, the furthest match first; what is left is new.
"""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from agent.crash import crash_point
from agent.tail.archives import Archives
from agent.tail.candidates import Candidates
from agent.tail.claims import Claim, Claims
from agent.tail.content import ContentState
from agent.tail.copies import CommonHeads, Copies
from agent.tail.decide import Row, by_age
from agent.tail.line_reader import ContentChangedError
from agent.tail.locate import Locator, Undecided
from agent.tail.losses import Losses
from agent.tail.names import without_gzip
from agent.tail.new_contents import NewContents
from agent.tail.sightings import Sightings
from agent.tail.table import FileNotice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.tail.content import Content
    from agent.tail.decide import FileCandidate
    from agent.tail.discover import Globs, Listings
    from agent.tail.pool import Pool
    from agent.tail.reader import ContentReader
    from agent.tail.table import ContentTable, TailOptions


class Succession:
    """Brings the table up to date with the directories."""

    def __init__(self, table: ContentTable, pool: Pool, globs: Globs, listings: Listings, options: TailOptions) -> None:
        self._table = table
        self._pool = pool
        self._listings = listings
        self._follows = options.follow_rotated
        self.archives = Archives(listings, table.live_directories, options.rotated_to, enabled=options.follow_rotated)
        self._candidates = Candidates(table, globs, listings, self.archives, options)
        self._undecided = Undecided()
        self._locator = Locator(table, pool, listings, self.archives, self._undecided)
        self._heads = CommonHeads(table, pool)
        self._copies = Copies(table, pool, self._heads)
        self._claims = Claims(pool, self.archives, self._heads)
        self._new = NewContents(table, pool, self._candidates)
        self._losses = Losses(table)
        self._sightings = Sightings()
        self._locator.rechecked = self._candidates.rechecked
        self.rechecked = self._candidates.rechecked
        self.lose = self._locator.lose
        self.forget = self._losses.forget
        self.was_mistaken = self._claims.was_mistaken
        self.is_undecided = self._undecided.blocks
        self._waiting: set[str] = set()
        """Live paths of files that were left for later in this scan."""

    def run(self, directories: Iterable[str], now: float, *, from_end: bool = False) -> None:
        """Bring everything in these directories up to date."""
        self._new.now = self._sightings.now = now
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
        self._locator.test(dict.fromkeys(live_path for listing in listings for _, live_path in self._candidates.rotated(listing)))
        candidates = sorted(self._candidates.find(directories), key=by_age)
        for live_path in self._candidates.moving:
            self._undecided.add(live_path, live_path)
        self._settle(candidates, from_end=from_end)
        self._undecided.end()
        self._locator.forget_missing()

    def _where_lost_ones_may_be(self, looked_at: list[str]) -> list[str]:
        """Further directories to scan, because a content that was lost just now may have been rotated there before."""
        live_paths = sorted({os.path.dirname(content.live_path) for content in self._table.lost if content.is_uncounted})
        return [
            path
            for path in dict.fromkeys(path for live_path in live_paths for path in self.archives.of(live_path))
            if path not in looked_at
        ]

    def _settle(self, candidates: list[FileCandidate], *, from_end: bool) -> None:
        """Give every candidate to the lost content that it continues. The rest are new, copies, or not wanted."""
        self._sightings.add(candidates, self._table.next_serial)
        rest = candidates  # what is there at the very first scan is passed over at once: after a kill it could not be distinguished from what came since
        if not from_end:
            rest = [one for one in candidates if not self._attempt(one, self._wait)]
            self._heads.candidates = candidates
            rest = [one for one in rest if not self._attempt(one, self._adopt)]
            rest = self._give_away(rest)
        self._losses.count_new(lambda live_path: live_path in self._undecided or live_path in self._waiting)
        for candidate in rest:
            if from_end or not self._is_asked_for(candidate) or not self._attempt(candidate, self._is_copy_of_new):
                self._sightings.forget(candidate)
                self._judge(candidate, from_end=from_end)

    def _wait(self, candidate: FileCandidate) -> bool:
        """Whether to wait before identifying a file: it is still being written, or may be the copy of one that is still being read."""
        if not (candidate.is_live or self._sightings[candidate].at_rest):
            self._undecided.add(candidate.live_path, candidate.found.id)
        elif not self._undecided.blocks(candidate.live_path) and not self._is_copy_of_living(candidate):
            return False
        self._recheck(candidate)
        return True

    def _is_asked_for(self, candidate: FileCandidate) -> bool:
        """Whether to read a file without a known content: a glob matches it, or it was the live file for a while when no agent ran."""
        return candidate.included or (candidate.may_begin and candidate.found.mtime_ns > self._table.horizon(candidate.live_path))

    def _judge(self, candidate: FileCandidate, *, from_end: bool) -> None:
        """The file holds no known content."""
        if self._is_asked_for(candidate):
            self._new.begin(candidate, from_end=from_end and candidate.included)
        else:
            self._candidates.dismissed[candidate.found.id] = candidate.found.mtime_ns

    def _is_copy_of_new(self, candidate: FileCandidate) -> bool:
        """Whether to wait for the original of this file, which is new as well."""
        is_copy = self._follows and self._copies.is_copy_of_new(candidate)
        if is_copy:
            self._recheck(candidate)
        return is_copy

    def _attempt(self, candidate: FileCandidate, check: Callable[[FileCandidate], bool]) -> bool:
        """Check; a file that cannot be read now is left for later, for to take it for a new one might repeat everything."""
        try:
            return check(candidate)
        except FileNotFoundError:  # it has another name by now
            self._undecided.add(candidate.live_path, candidate.found.id)
            self._recheck(candidate)
            return True
        except OSError as error:
            self._candidates.refuse(candidate.found.path, error)
            self._recheck(candidate)
            return True

    def _recheck(self, candidate: FileCandidate) -> None:
        self._waiting.add(candidate.live_path)
        self.rechecked.add(os.path.dirname(candidate.name if candidate.included else candidate.found.path))

    def _give_away(self, candidates: list[FileCandidate]) -> list[FileCandidate]:
        """Give files to the lost contents that they hold, the furthest match first; return what is left, and could be looked into."""
        claims: list[Claim] = []
        self._claims.begin(self._table.lost)

        def collect(candidate: FileCandidate) -> bool:
            claims.extend(self._claims.of(candidate, candidates.index(candidate)))
            return False

        rest = [one for one in candidates if not self._attempt(one, collect)] if self._table.lost else candidates
        left = dict.fromkeys(rest)
        for claim in sorted(claims, key=Claim.rank):
            if (
                claim.content.state is ContentState.LOST
                and claim.candidate in left
                and self._attempt(claim.candidate, partial(self._take, claim))
            ):
                del left[claim.candidate]
        return [one for one in left if not (claims and self._attempt(one, self._adopt))]  # the copy of what was found is one, too

    def _take(self, claim: Claim, candidate: FileCandidate) -> bool:
        """Continue a content in the file that holds it, if the decision is so; return whether the file is settled."""
        if claim.row is Row.CUT_SHORT and claim.content.live_path in self._undecided:  # what is not clear yet may be the whole of it
            self._recheck(candidate)
            return True
        if claim.row.is_ambiguous:
            self._table.notices.append(FileNotice("assumed" if claim.row.is_same else "reread", candidate.found.path))
        if claim.row.is_same:
            with closing(self._pool.open(candidate.place)) as reader:
                self._take_over(claim, reader)
        return claim.row.is_same

    def _take_over(self, claim: Claim, reader: ContentReader) -> None:
        crash_point("tail.rotation_found")
        content, candidate, size = claim.content, claim.candidate, claim.size
        self._losses.found(content, size)
        event = "rewritten" if claim.row in {Row.REWRITTEN, Row.REWRITTEN_ALONE} else "compressed" if candidate.gzip else "copied"
        self._table.notices.append(FileNotice(event, candidate.found.path))
        if size is not None and size < content.offset:
            content.cut_back(size, reader)
        if not content.offset:  # what is begun later in this scan is put before it or behind it by the time of its last write
            content.size, content.mtime_ns = candidate.found.size, candidate.found.mtime_ns
        self._table.move(content, candidate.place)

    def _is_copy_of_living(self, candidate: FileCandidate) -> bool:
        """Whether this is (as yet) the copy of a file that is still being read, made by a rotation that continues.

        A copy is made of a live file that was there before; a compressed one also of a rotated file, beside it, or under a later name
        when that is gone.
        """
        seen_since = self._sightings[candidate].since
        for content in self._table.by_live_path.get(candidate.live_path, ()):
            if content.state is ContentState.LOST or content.place.gzip or candidate.found.path == content.live_path:
                continue
            is_nameless = content.state is ContentState.HELD or self._locator.is_missing(content)
            is_its_gzip = candidate.gzip and (is_nameless or without_gzip(candidate.found.path) == content.place.path)
            possible = is_its_gzip or (not content.is_rotated and content.born < seen_since)
            if possible and self._copies.is_prefix(candidate, content):
                return not self._is_over(candidate, content)
        return False

    def _is_over(self, candidate: FileCandidate, content: Content) -> bool:
        """Whether to stop waiting for the live file: its beginning is a common head, and it may hold another content."""
        if not self._sightings.is_old(candidate):
            return False
        try:
            is_over = self._copies.is_mere_head(candidate, content)
        except ContentChangedError:
            return False
        if is_over:
            self._table.notices.append(FileNotice("reread", candidate.found.path))
        return is_over

    def _adopt(self, candidate: FileCandidate) -> bool:
        """Begin a copy of an existing content behind the part that was read; whether it is one."""
        known = self._copies.copied_from(candidate) if self._follows else 0
        if known > 0:
            content = self._new.add(candidate)
            self._new.skip(content, known)
            self._table.notices.append(FileNotice("rewritten" if candidate.is_live else "copied", candidate.found.path))
        elif known < 0:
            self._recheck(candidate)
        return bool(known)
