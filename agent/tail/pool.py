"""The open files: when there are too many, the least recently read one is closed. Thin I/O."""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from typing import TYPE_CHECKING

from agent.tail.content import ContentState
from agent.tail.open import inode_generation, open_regular
from agent.tail.reader import ContentReader, GzipReader

if TYPE_CHECKING:
    from agent.tail.content import Content
    from agent.tail.position import FilePlace


class Pool:
    """Readers by content. A content that is HELD is never closed to make room: its file has no name to open it by again."""

    def __init__(self, most: int, gzip_limit: int, gzip_ratio: int) -> None:
        """Take the number of descriptors that we may use; half of what the process may have is the upper bound."""
        self._most = max(1, min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self._gzip = (gzip_limit, gzip_ratio)
        self._open: OrderedDict[Content, ContentReader] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def peek(self, content: Content) -> ContentReader | None:
        """The content's reader if it is open."""
        return self._open.get(content)

    def get(self, content: Content) -> ContentReader:
        """The content's reader. OSError, or ContentChangedError if the inode was used again."""
        reader = self._open.get(content)
        if reader is None:
            self._make_room(self._most - 1)
            reader = self._open[content] = self.open(content.place)
            content.note_generation(inode_generation(reader.fd))
        self._open.move_to_end(content)
        return reader

    def open(self, place: FilePlace) -> ContentReader:
        """Open a file; FileNotFoundError if its path names another file by now."""
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
        return GzipReader(fd, *self._gzip) if place.gzip else ContentReader(fd)

    def release(self, content: Content) -> None:
        """Close the content's file, if open."""
        reader = self._open.pop(content, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close everything."""
        for content in list(self._open):
            self.release(content)

    def _make_room(self, most: int) -> bool:
        """Close the least recently read until `most` are left; whether any was closed."""
        surplus = len(self._open) - most
        spare = [content for content in self._open if content.state is not ContentState.HELD][: max(0, surplus)]
        for content in spare:
            self.release(content)
        return bool(spare)
