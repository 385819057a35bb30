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
    """Whether to read rotated files for which no glob asks, if they were the live file while the agent did not run, or between two polls."""
    rotated_to: tuple[LocalPath, ...] = ()
    """Directories that files are rotated into (`olddir`), besides their own and those directly below it, which are known."""
    allowed_roots: tuple[LocalPath, ...] = ()
    """Directories that links may lead to, besides those of the globs. Elsewhere only links of root and to the link owner's own files are followed."""
    poll_interval: Interval = 0.2
    """Time between two polls of the files."""
    max_line_bytes: Size = Field(default=1 << 20, ge=1024)
    """Longer lines are cut: the rest is skipped, its length and SHA-256 are attributes of the record."""
    max_open_files: int = Field(default=512, ge=1)
    """Most files that are held open; never more than half of the process's limit."""
    record_idle: Duration = 1.0
    """Silence of a writer after which its open record (a traceback) is emitted. A writer that is not silent ends it 2 s after it began (or after
    this time, if it is longer): then it has the attribute `log.incomplete`, and the following lines are records of their own."""
    rotated_idle: Duration = 5.0
    """Silence of a removed or rotated file after which its last line is emitted although it has no end."""
    partial_idle: Duration = 60.0
    """The same for a live file; 0 = never. The rest of the line becomes a record of its own; both have the attribute `log.partial`."""
    max_held_bytes: Size = 1 << 30
    """Most unread bytes of removed files that are held open; with more, those that were removed first are closed."""
    max_held_age: Duration = 3600.0
    """Longest time for which a removed file is held open."""
    max_gzip_bytes: Size = 16 << 30
    """Most bytes of content that are read of one gzip file."""
    max_gzip_ratio: int = Field(default=1000, ge=2)
    """Most bytes of content for each byte of a gzip file, beyond the first MiB of content; a file with more is not read further, and counted as `gzip_bomb`."""


def options(config: LogFilesConfig) -> TailOptions:
    """The options of the follower: those of the same names, with links in directories resolved."""
    roots = [os.path.realpath(glob_root(pattern)) for pattern in config.include]
    given = config.model_dump(include={one.name for one in fields(TailOptions)})
    given["allowed_roots"] = (*roots, *map(os.path.realpath, config.allowed_roots))
    given["rotated_to"] = tuple(map(os.path.realpath, config.rotated_to))
    return TailOptions(**given, from_end=config.start_at == "end")
