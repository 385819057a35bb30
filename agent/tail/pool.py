"""Open files, as few as it takes: the least recently read one is closed when there are too many. Thin I/O."""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from typing import TYPE_CHECKING

from agent.tail.open import inode_generation, open_regular
from agent.tail.reader import GzipReader, Reader
from agent.tail.stream import State

if TYPE_CHECKING:
    from agent.tail.position import Place
    from agent.tail.stream import Stream


class Pool:
    """Readers by stream. A stream that is HELD is never closed to make room: its file has no name to open it by again."""

    def __init__(self, most: int, gzip_limit: int, gzip_ratio: int) -> None:
        """Take the number of descriptors that we may use; half of what the process may have is the upper bound."""
        self._most = max(1, min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self._gzip = (gzip_limit, gzip_ratio)
        self._open: OrderedDict[Stream, Reader] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def peek(self, stream: Stream) -> Reader | None:
        """The stream's reader if it is open."""
        return self._open.get(stream)

    def get(self, stream: Stream) -> Reader:
        """The stream's reader. OSError, or ContentChangedError if the inode was used anew."""
        reader = self._open.get(stream)
        if reader is None:
            self._make_room(self._most - 1)
            reader = self._open[stream] = self.open(stream.place)
            stream.note_generation(inode_generation(reader.fd))
        self._open.move_to_end(stream)
        return reader

    def open(self, place: Place) -> Reader:
        """Open a file that is still the one meant; FileNotFoundError if its path names another by now."""
        try:
            fd = open_regular(place.path)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._make_room(len(self._open) // 2):
                raise
            fd = open_regular(place.path)
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != place.id:
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "another file by now", place.path)
        return GzipReader(fd, *self._gzip) if place.gzip else Reader(fd)

    def release(self, stream: Stream) -> None:
        """Close the stream's file, if open."""
        reader = self._open.pop(stream, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close everything."""
        for stream in list(self._open):
            self.release(stream)

    def _make_room(self, most: int) -> bool:
        """Close the least recently read until `most` are left; whether any was closed."""
        surplus = len(self._open) - most
        spare = [stream for stream in self._open if stream.state is not State.HELD][: max(0, surplus)]
        for stream in spare:
            self.release(stream)
        return bool(spare)
