"""What a file's name says: which globs it matches, which file it was rotated from, how it is shown. Pure.

Paths are `str` with surrogate escapes (PEP 383), so that every byte sequence the kernel allows survives.
"""

from __future__ import annotations

import os
import re
from typing import Final

GZIP_SUFFIXES: Final = (".gz", ".gzip")
_MAGIC: Final = re.compile(r"[*?\[]")
_STAMP: Final = re.compile(r"[-._](?:\d+(?:T\d+)?Z?|old|bak|backup|prev|orig|save)$")
_NUMBER: Final = re.compile(r"\.(\d{1,6})$")


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Translate a glob over whole paths: `*` and `?` stay within a name, `**` crosses directories, `[…]` is a class.

    As in a shell, a wildcard at the beginning of a name does not match a leading dot.
    """
    parts = pattern.split("/")
    last = len(parts) - 1
    translated = [_translate_part(part, last=at == last) for at, part in enumerate(parts)]
    return re.compile("".join(translated) + r"\Z", re.DOTALL)


def _translate_part(part: str, *, last: bool) -> str:
    if part == "**":
        return r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+" if last else r"(?:(?!\.)[^/]+/)*"
    hidden = r"(?!\.)" if _MAGIC.match(part) else ""
    return hidden + "".join(map(_translate_glyph, re.findall(r"\[[!^]?\]?[^\]]*\]|.", part, re.DOTALL))) + ("" if last else "/")


def _translate_glyph(glyph: str) -> str:
    if glyph == "*":
        return "[^/]*"
    if glyph == "?":
        return "[^/]"
    if len(glyph) > 1:
        inside = glyph[1:-1].replace("\\", "\\\\")
        return f"(?!/)[^{inside[1:]}]" if inside[:1] in ("!", "^") else f"[{inside}]"
    return re.escape(glyph)


def glob_root(pattern: str) -> str:
    """The deepest directory that a glob names literally."""
    parts = pattern.split("/")
    literal = next((at for at, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
    return "/".join(parts[:literal]) or "/"


def glob_depth(pattern: str) -> int | None:
    """How many directories below its root a glob reaches; None = any number."""
    rest = pattern[len(glob_root(pattern)) :].strip("/").split("/")
    return None if "**" in rest else len(rest) - 1


def is_gzip(name: str) -> bool:
    """Whether a name says that its content is compressed with gzip."""
    return name.endswith(GZIP_SUFFIXES)


def without_gzip(name: str) -> str:
    """The name that a compressed file had before."""
    return next((name.removesuffix(suffix) for suffix in GZIP_SUFFIXES if name.endswith(suffix)), name)


def possible_bases(name: str) -> list[str]:
    """The names that a file may have had before rotation: logrotate's `.1`, `-20260101`, `.gz`; `app.1.log` and `app-2026-01-01.log` too."""
    plain = without_gzip(name)
    found = [plain] if plain != name else []
    found += _stripped(plain, "")
    stem, extension = os.path.splitext(plain)
    if extension and not _STAMP.search(extension):
        found += _stripped(stem, extension)
    return found


def _stripped(stem: str, extension: str) -> list[str]:
    found = []
    while match := _STAMP.search(stem):
        stem = stem[: match.start()]
        if stem:
            found.append(stem + extension)
    return found


def is_rotated(base: str, name: str) -> bool:
    """Whether `name` looks like what a rotation makes of `base` (names without directories)."""
    stem = os.path.splitext(base)[0]
    return name != base and name.startswith(stem) and base in possible_bases(name)


def rotation_number(name: str) -> int | None:
    """The count of `app.log.3` or `app.log.3.gz`: higher is older; None where the name has none."""
    match = _NUMBER.search(without_gzip(name))
    return int(match[1]) if match else None


def printable(path: str) -> str:
    """The path as text for people and for UTF-8 outputs: invalid bytes and control characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
