"""Options of a log file source."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agent.component import ComponentConfig
from agent.options import Duration, Interval, OptionError, Size, local_path
from agent.parse.format_name import FormatName  # noqa: TC001 - pydantic reads it
from agent.tail.names import compile_glob, glob_root
from agent.tail.table import TailOptions


def _absolute(path: str) -> str:
    return os.path.abspath(local_path(path))


def _glob(pattern: str) -> str:
    try:
        compile_glob(pattern)
    except ValueError as error:
        raise OptionError(f"is not a glob: {error}", "correct it, or write [[] for a bracket") from error
    return pattern


LocalPath = Annotated[str, AfterValidator(_absolute)]
Glob = Annotated[LocalPath, AfterValidator(_glob)]


class LogFilesConfig(ComponentConfig):
    """Options of a log file source."""

    include: tuple[Glob, ...] = Field(min_length=1)
    """Globs of the files to follow; `**` goes through directories. Rotated files need not be included: they are followed anyhow."""
    exclude: tuple[Glob, ...] = ()
    """Globs of files to leave out."""
    start_at: Literal["beginning", "end"] = "beginning"
    """Where to begin in the files that exist when the agent starts for the first time ever; a file that comes later is read whole."""
    format: FormatName = "auto"
    """Format of the lines; `auto` finds it per file."""
    follow_rotated: bool = True
    """Whether to read rotated files that came and went while the agent did not look, though no glob asks for them."""
    rotated_to: tuple[LocalPath, ...] = ()
    """Directories that files are rotated into (`olddir`), besides their own and those directly below it, which are known."""
    allowed_roots: tuple[LocalPath, ...] = ()
    """Directories that links may lead to, besides those of the globs. Elsewhere only links of root and to the link owner's own files are followed."""
    poll_interval: Interval = 0.2
    """How often files are looked at."""
    max_line_bytes: Size = Field(default=1 << 20, ge=1024)
    """Longer lines are cut: the rest is skipped, its length and SHA-256 are attributes of the record."""
    max_open_files: int = Field(default=512, ge=1)
    """Files held open at most (and never more than half of the process's limit)."""
    record_idle: Duration = 1.0
    """A record that may have more lines (a traceback) is given out when its writer was silent for so long, and after 2 s (or this, if it is
    longer) however much is written: then with the attribute `log.incomplete`, and what follows are records of their own."""
    rotated_idle: Duration = 5.0
    """A last line without an end is given out when its file, removed or rotated away, was silent for so long."""
    partial_idle: Duration = 60.0
    """The same for a live file; 0 = never. What comes afterwards is a record of its own with the attribute `log.partial`."""
    max_held_bytes: Size = 1 << 30
    """Unread bytes of removed files that are kept from being freed; beyond, the files removed first are given up."""
    max_held_age: Duration = 3600.0
    """How long a removed file is held open at most."""
    max_gzip_bytes: Size = 16 << 30
    """Content of one gzip file at most."""
    max_gzip_ratio: int = Field(default=1000, ge=2)
    """How often a gzip file's size its content may be, beyond the first MiB."""


def options(config: LogFilesConfig) -> TailOptions:
    """The options of the follower: those of the same names, with links in directories resolved."""
    roots = [os.path.realpath(glob_root(pattern)) for pattern in config.include]
    given = config.model_dump(include={one.name for one in fields(TailOptions)})
    given["allowed_roots"] = (*roots, *map(os.path.realpath, config.allowed_roots))
    given["rotated_to"] = tuple(map(os.path.realpath, config.rotated_to))
    return TailOptions(**given, from_end=config.start_at == "end")
