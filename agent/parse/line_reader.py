"""One line at a time: the text that a terminal shows, and its meaning in its writer's format, together with its wrapper's fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.parse.formats import PLAIN, Format, Rest, detect
from agent.parse.limits import is_utf8
from agent.parse.parsed import NOWHERE, Parsed, placed
from agent.parse.plain import parse as as_text
from agent.parse.terminal import overwritten, undressed
from agent.parse.wide import unmarked
from agent.record import Drop

if TYPE_CHECKING:
    from agent.parse.dialect import Dialect

ODD: Final = frozenset((b"\0", b"\r", b"\xef", b"\x1b"))
"""The characters that a line begins with if it may have to be cleaned."""


def cleaned(line: bytes) -> tuple[bytes, list[Drop]]:
    """A line without what is not content: NULs, a byte order mark, text that a terminal no longer shows. With the reasons to count."""
    bare = line.strip(b"\0")
    if b"\0" in bare and (text := unmarked(line)) is not None:
        bare, reasons = text, [Drop.UNMARKED_UTF16]
    else:
        reasons = [Drop.NUL_GAP] if len(bare) != len(line) else []
    bare = bare.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf")
    if bare[:1] == b"\x1b" and (inner := undressed(bare))[:1] == b"{":
        return inner, reasons
    at = overwritten(bare)
    if not at or not bare[:at].strip(b"\r"):
        return bare[at:], reasons
    return (bare, reasons) if detect(bare[at:]) is PLAIN else (bare[at:], [*reasons, Drop.OVERWRITTEN])


class LineReader:
    """The present line of one writer: where it ends, when it was read, what its wrapper says."""

    __slots__ = ("at", "base", "dialect", "now_ns")

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.base = NOWHERE
        self.now_ns = 0
        self.at = 0
        """The offset of the line, or of its last piece."""

    def read(self, line: bytes) -> tuple[Format, Parsed | None]:
        """The format of a line with its meaning, and the reasons to count; (plain, None) if it is only more of the record before."""
        found, parsed = self.dialect.read(line, self.now_ns)
        if parsed is not None:
            parsed = placed(parsed, self.base)
        elif self.dialect.fixed and found.rest is Rest.ANY:
            return PLAIN, None
        else:
            found, parsed = PLAIN, self._malformed(line, found)
        return found, parsed if line.isascii() else _counting_bytes(line, parsed)

    def plain(self, line: bytes) -> Parsed:
        """A line as a text, with the prefix that it had."""
        parsed = placed(as_text(line), self.base)
        return parsed._replace(body=f"{self.base.body!s}{parsed.body!s}") if self.base.body else parsed

    def unread(self, line: bytes) -> Parsed:
        """A line that is in no format: it is counted where there should be one."""
        own = self.dialect.own if self.dialect.fixed and self.dialect.own is not None else PLAIN
        return _counting_bytes(line, self._malformed(line, own))

    def _malformed(self, line: bytes, looked_like: Format) -> Parsed:
        parsed = self.plain(line)
        return parsed._replace(reasons=(*parsed.reasons, looked_like.malformed)) if looked_like.malformed else parsed


def _counting_bytes(line: bytes, parsed: Parsed) -> Parsed:
    """The record, with the reason to count if its line is not UTF-8."""
    return parsed if is_utf8(line) else parsed._replace(reasons=(*parsed.reasons, Drop.INVALID_UTF8))
