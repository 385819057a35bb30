"""Who continues what, after names changed in a directory: finds renamed, copied and compressed contents again, and new ones.

Works on a whole directory at once, in this order: known contents by inode; lost contents by content; what is left is new.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from agent.crash import crash_point
from agent.tail.decide import Candidate, by_age, bytes_missed, is_beside, is_newer, is_same_file, may_hold
from agent.tail.names import is_rotated
from agent.tail.open import Found, NotRegularError, found, inode_generation, resolve
from agent.tail.position import Cause, Place
from agent.tail.stream import ContentChangedError, State
from agent.tail.table import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent.tail.discover import Globs, Listing, Listings
    from agent.tail.pool import Pool
    from agent.tail.reader import Reader
    from agent.tail.stream import Stream
    from agent.tail.table import Options, Table

_COMPARED: Final = 64 * 1024
"""Bytes from the beginning in which a copy must equal its original."""
_COMPARED_END: Final = 4096


class Succession:
    """Brings the table up to date with the directories."""

    def __init__(self, table: Table, pool: Pool, globs: Globs, listings: Listings, options: Options) -> None:
        self._table = table
        self._pool = pool
        self._globs = globs
        self._listings = listings
        self._options = options
        self._refused: set[str] = set()
        """Paths that are told to be unreadable, so that it is told once."""
        self._mistaken: set[tuple[Stream, tuple[int, int]]] = set()
        """Files that looked like a lost content but were not."""
        self.suspects: set[str] = set()
        """Directories with files that look like the copy of a living one: to be looked at again."""
        self.now = 0.0

    def run(self, directories: Iterable[str], now: float, *, from_end: bool = False) -> None:
        """Bring everything in these directories up to date."""
        self.now = now
        directories = list(directories)
        self.suspects.difference_update(directories)
        disturbed = {stream.home for directory in directories for stream in self._locate(self._listings.get(directory))}
        candidates = self._included(directories)
        disturbed.update(one.home for one in candidates if one.home in self._table.by_home)
        if self._options.follow_rotated:
            candidates += self._beside(disturbed, {one.found.path for one in candidates})
        self._settle(sorted(candidates, key=by_age), from_end=from_end)

    # -- known contents, by inode

    def _locate(self, listing: Listing) -> Iterator[Stream]:
        """Find where the contents of a directory are now; yield those that are not where they were."""
        names: dict[int, str] | None = None
        for stream in list(self._table.in_directory.get(listing.path, ())):
            if stream.state is not State.PLACED:
                yield stream
                continue
            entry = listing.entries.get(os.path.basename(stream.place.path))
            if (entry and entry.inode == stream.place.inode and not entry.is_link) or self._is_at(stream.place.path, stream):
                continue
            names = names if names is not None else {entry.inode: name for name, entry in listing.entries.items() if not entry.is_link}
            self._relocate(stream, os.path.join(listing.path, names.get(stream.place.inode, "")))
            yield stream

    def _relocate(self, stream: Stream, path: str) -> None:
        crash_point("tail.rotation_found")
        if self._is_at(path, stream):
            self._table.notices.append(Notice("renamed", stream.place.path))
            self._table.move(stream, stream.place._replace(path=path))
        elif self._pool.peek(stream) is not None and not stream.place.gzip:
            self._table.hold(stream, self.now)
        else:
            self.lose(stream, Cause.REMOVED)

    def _is_at(self, path: str, stream: Stream) -> bool:
        status = self._status(path)
        return status is not None and status.id == stream.place.id

    def lose(self, stream: Stream, cause: Cause) -> None:
        """A content is not where it was."""
        if cause is Cause.TRUNCATED:
            crash_point("tail.truncated")
        self._table.lose(stream, cause, self.now)
        self._pool.release(stream)

    def was_mistaken(self, stream: Stream) -> None:
        """A file was taken for a lost content, and is not."""
        self._mistaken.add((stream, stream.place.id))

    # -- files that no known content lies in

    def _included(self, directories: Iterable[str]) -> list[Candidate]:
        candidates: dict[tuple[int, int], Candidate] = {}
        for directory in directories:
            for path in self._unknown_names(self._listings.get(directory)):
                file = self._admit(path)
                if file is not None and file.id not in candidates:  # another name of a file is not another file
                    candidates[file.id] = Candidate(file, path, file.path, included=True)
        return list(candidates.values())

    def _unknown_names(self, listing: Listing) -> Iterator[str]:
        for name, entry in listing.entries.items():
            path = os.path.join(listing.path, name)
            known = self._table.by_id.get((listing.device, entry.inode))
            if known is not None and known.place.path == path and not entry.is_link:
                continue
            if not entry.is_dir and self._globs.match(path):
                yield path

    def _admit(self, path: str) -> Found | None:
        """The file behind a name, if it may be read and is not known."""
        try:
            status = found(path, os.stat(path))
            if self._is_known(status):
                return None
            real = resolve(path, self._options.allowed_roots)
            file = self._status(real)
            if file is None:
                raise NotRegularError(0, "not a regular file", path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._refuse(path, error)
            return None
        self._refused.discard(path)
        return file

    def _is_known(self, file: Found) -> bool:
        known = self._table.by_id.get(file.id)
        if known is not None and known.state is State.HELD:  # it has a name again
            self._table.move(known, known.place._replace(path=os.path.realpath(file.path)))
        return known is not None

    def _refuse(self, path: str, error: OSError) -> None:
        if path not in self._refused:
            self._refused.add(path)
            event = "not_regular" if isinstance(error, NotRegularError) else "unreadable"
            self._table.notices.append(Notice(event, path, error.strerror or str(error)))

    def _status(self, path: str) -> Found | None:
        """A regular file at a path, not following a link; None if there is none."""
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            return None
        return found(path, status) if (status.st_mode & 0o170000) == 0o100000 else None

    def _beside(self, homes: Iterable[str], known: set[str]) -> list[Candidate]:
        """Files that no glob asks for, but that look like rotated ones of these homes."""
        candidates = []
        for home in homes:
            listing = self._listings.get(os.path.dirname(home))
            for name, entry in listing.entries.items():
                path = os.path.join(listing.path, name)
                if entry.is_file and path not in known and is_rotated(os.path.basename(home), name) and not self._globs.match(path):
                    status = self._status(path)
                    if status is not None and status.id not in self._table.by_id:
                        known.add(path)
                        candidates.append(Candidate(status, self._table.by_home[home][-1].name, home, included=False))
        return candidates

    # -- what they are

    def _settle(self, candidates: list[Candidate], *, from_end: bool) -> None:
        """Give every candidate, oldest first, to the lost content that it continues; what is left is new, a copy, or not asked for."""
        last = {one.home: self._table.by_home[one.home][-1] for one in candidates if not one.included}
        first_new = self._table.next_serial
        rest = [one for one in candidates if not self._attempt(one, self._claim)]
        self._count_missed()
        for candidate in rest:
            if self._attempt(candidate, lambda one: self._is_copy_of_living(one, first_new)):
                self._suspect(candidate)
            elif candidate.included:
                self._begin(candidate, from_end=from_end)
            elif is_newer(candidate.found, last[candidate.home].place.path, last[candidate.home].mtime_ns):
                self._begin(candidate, from_end=False)  # it came and went while nobody looked

    def _attempt(self, candidate: Candidate, check: Callable[[Candidate], bool]) -> bool:
        """Check; a file that cannot be read now is left for later, for to take it for a new one might repeat everything."""
        try:
            return check(candidate)
        except OSError as error:
            self._refuse(candidate.found.path, error)
            self._suspect(candidate)
            return True

    def _suspect(self, candidate: Candidate) -> None:
        self.suspects.add(os.path.dirname(candidate.name if candidate.included else candidate.found.path))

    def _claim(self, candidate: Candidate) -> bool:
        with _Peek(self._pool, _place(candidate)) as reader:
            generation = inode_generation(reader.fd)
            for stream in sorted(self._table.lost, key=_by_serial):
                if (stream, candidate.found.id) in self._mistaken:
                    continue
                if stream.cause is Cause.REMOVED and is_same_file(stream.place, candidate.found, generation):
                    matches = stream.is_continued_by(reader)
                else:
                    matches = self._is_copy_of_lost(stream, candidate, reader)
                if matches:
                    self._take_over(stream, candidate, reader)
                    return True
        return False

    def _is_copy_of_lost(self, stream: Stream, candidate: Candidate, reader: Reader) -> bool:
        if not is_beside(stream.home, candidate.found.path) or not may_hold(stream.cause, stream.home, candidate):
            return False
        if stream.offset == 0:  # nothing was read: there is nothing to compare but the time
            return candidate.found.mtime_ns >= stream.mtime_ns
        if candidate.gzip or candidate.found.size < stream.offset:  # all of it was read before it was copied; or it is long to go there
            return stream.has_head(reader)
        return stream.is_continued_by(reader)

    def _take_over(self, stream: Stream, candidate: Candidate, reader: Reader) -> None:
        crash_point("tail.rotation_found")
        size = candidate.found.size
        if not candidate.gzip:
            self._missed(stream, bytes_missed(stream.size, stream.offset, size))
        stream.is_uncounted = False
        self._table.notices.append(Notice("compressed" if candidate.gzip else "copied", candidate.found.path))
        if not candidate.gzip and size < stream.offset:
            stream.cut_back(size, reader)
        self._table.move(stream, _place(candidate))

    def _is_copy_of_living(self, candidate: Candidate, first_new: int) -> bool:
        """Whether this is (as yet) the copy of a file that is still being read, made by a rotation that goes on.

        A plain copy is only made of a live file, and of one that was there before; a compressed one of any.
        """
        base = os.path.basename(candidate.found.path)
        for stream in self._table.in_directory.get(os.path.dirname(candidate.found.path), ()):
            if stream.state is State.LOST or stream.place.gzip or not is_rotated(os.path.basename(stream.home), base):
                continue
            if (candidate.gzip or (not stream.is_rotated and stream.serial < first_new)) and self._is_prefix(candidate, stream):
                return True
        return False

    def _is_prefix(self, candidate: Candidate, stream: Stream) -> bool:
        with _Peek(self._pool, _place(candidate)) as copy:
            try:
                return equal_so_far(copy, self._pool.get(stream), None if candidate.gzip else candidate.found.size)
            except ContentChangedError:
                return False

    def _begin(self, candidate: Candidate, *, from_end: bool) -> None:
        stream = self._table.add(candidate.name, candidate.home, _place(candidate), self.now)
        stream.size, stream.mtime_ns = candidate.found.size, candidate.found.mtime_ns
        if from_end:
            self._skip_present(stream)

    def _skip_present(self, stream: Stream) -> None:
        """Begin behind the last whole line: one that is being written now will be read whole."""
        if stream.place.gzip:
            stream.drained, stream.more = True, False
            return
        try:
            reader = self._pool.get(stream)
            end = reader.read(max(0, stream.size - _COMPARED), min(stream.size, _COMPARED))
            unended = len(end) - end.rfind(b"\n") - 1 if b"\n" in end else 0
            stream.start_at(stream.size - unended, reader)
            stream.position(stream.offset, b"", reader)
        except OSError as error:  # then it is read from its beginning once it can be: rather too much than too little
            self._refuse(stream.name, error)

    # -- what is missing

    def _count_missed(self) -> None:
        """Count what the newly lost contents had and nobody has now."""
        for stream in self._table.lost:
            if stream.is_uncounted:
                stream.is_uncounted = False
                self._missed(stream, 0 if stream.place.gzip else bytes_missed(stream.size, stream.offset))

    def _missed(self, stream: Stream, missed: int) -> None:
        if missed:
            self._table.drops["truncated_window" if stream.cause is Cause.TRUNCATED else "rotated_away"] += missed


class _Peek:
    """A file's reader for a moment."""

    def __init__(self, pool: Pool, place: Place) -> None:
        self._reader = pool.open(place)

    def __enter__(self) -> Reader:
        return self._reader

    def __exit__(self, *_exc: object) -> None:
        self._reader.close()


def _place(candidate: Candidate) -> Place:
    return Place(candidate.found.path, *candidate.found.id, gzip=candidate.gzip)


def _by_serial(stream: Stream) -> int:
    return stream.serial


def equal_so_far(copy: Reader, original: Reader, size: int | None) -> bool:
    """Whether one content begins like the other, as far as the shorter goes: compared are its first 64 KiB and its last 4 KiB.

    An empty file beside a living one may become a copy: that counts as equal. `size` of the copy is None if it is compressed.
    """
    mine = copy.read(0, _COMPARED)
    other = original.read(0, _COMPARED)
    length = min(len(mine), len(other))
    if mine[:length] != other[:length]:
        return False
    if size is None or size <= _COMPARED:
        return True
    end = min(size, os.fstat(original.fd).st_size)
    start = max(0, end - _COMPARED_END)
    return copy.read(start, end - start) == original.read(start, end - start)
