"""Reading /proc. What has ended meanwhile is empty, what may not be read is None."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.parse.proc import Stat, parse_fields, parse_open_files, parse_stat

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ProcDir:
    """A mounted process table."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def table(self) -> dict[int, Stat]:
        """All processes that can be seen."""
        stats = (parse_stat(self._read(f"{name}/stat") or b"") for name in os.listdir(self.root) if name.isdigit())  # noqa: PTH208 - no Path per process
        return {stat.pid: stat for stat in stats if stat is not None}

    def uptime(self) -> float:
        """Seconds since boot."""
        return float((self._read("uptime") or b"0").split()[0])

    def fields(self, pid: int, name: str) -> Mapping[str, int] | None:
        """The numbers of a file of `name: number` lines."""
        content = self._read(f"{pid}/{name}")
        return None if content is None else parse_fields(content)

    def open_files(self, pid: int) -> int | None:
        """How many file descriptors are open."""
        try:
            return len(os.listdir(f"{self.root}/{pid}/fd"))  # noqa: PTH208 - as above
        except PermissionError:
            return None
        except OSError:
            return 0

    def open_files_limit(self, pid: int) -> int | None:
        """The soft limit of it."""
        return parse_open_files(self._read(f"{pid}/limits") or b"")

    def command_line(self, pid: int) -> str:
        """The arguments, joined by blanks; of a kernel thread, nothing."""
        return (self._read(f"{pid}/cmdline") or b"").rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "backslashreplace")

    def _read(self, name: str) -> bytes | None:
        try:
            with open(f"{self.root}/{name}", "rb") as file:  # noqa: PTH123 - a hundred times per sample
                return file.read()
        except PermissionError:
            return None
        except OSError:  # it has ended: ENOENT before the file is opened, ESRCH after
            return b""
