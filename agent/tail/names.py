"""Names of files: the globs that they match, the file that they were rotated from, their printable form. Pure.

Paths are `str` with surrogate escapes (PEP 383), so that every byte sequence the kernel allows survives.
"""

from __future__ import annotations

import os
import re
from typing import Final

GZIP_SUFFIXES: Final = (".gz", ".gzip")
_MAGIC: Final = re.compile(r"[*?\[]")
_ITEM: Final = r"(?:\[:[^\]:]*:\]|\[\.[^\]]*\.\]|\[=[^\]]*=\]|[^\]])"
_GLYPH: Final = re.compile(rf"\[[!^]?+(?:\]|{_ITEM}){_ITEM}*\]|.", re.DOTALL)
"""A class, or a single character; a bracket that nothing closes is one."""
_MEMBER: Final = re.compile(r"\[:([^\]:]*):\]|(\[\..*?\.\]|\[=.*?=\])|(.)(?:-(.))?", re.DOTALL)
_POSIX: Final = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
"""The classes of POSIX (Base Definitions, 7.3.1) in its own locale."""
_STAMP: Final = re.compile(r"[-._](?:\d+(?:T\d+)?Z?|old|bak|backup|prev|orig|save)$")
_NUMBER: Final = re.compile(r"\.(\d{1,6})$")


def compile_glob(pattern: str) -> re.Pattern[str]:
    """Translate a glob over whole paths: `*` and `?` stay within a name, `**` crosses directories, `[…]` is a class.

    As in a shell, a wildcard at the beginning of a name does not match a leading dot; classes such as `[[:digit:]]` are those of ASCII.
    ValueError: a class that can't be meant so.
    """
    parts = pattern.split("/")
    last = len(parts) - 1
    translated = [_translate_part(part, last=at == last) for at, part in enumerate(parts)]
    return re.compile("".join(translated) + r"\Z", re.DOTALL)


def _translate_part(part: str, *, last: bool) -> str:
    if part == "**":
        return r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+" if last else r"(?:(?!\.)[^/]+/)*"
    hidden = r"(?!\.)" if _MAGIC.match(part) else ""
    return hidden + "".join(map(_translate_glyph, _GLYPH.findall(part))) + ("" if last else "/")


def _translate_glyph(glyph: str) -> str:
    if glyph == "*":
        return "[^/]*"
    if glyph == "?":
        return "[^/]"
    return _translate_class(glyph) if len(glyph) > 1 else re.escape(glyph)


def _translate_class(glyph: str) -> str:
    """A class as `re` understands it: every character escaped, for `re` has ranges, escapes and set operations of its own."""
    negated = glyph[1] in "!^"
    members = "".join(_translate_member(match, glyph) for match in _MEMBER.finditer(glyph[1 + negated : -1]))
    return f"(?!/)[{'^' * negated}{members}]"


def _translate_member(match: re.Match[str], glyph: str) -> str:
    named, other, first, last = match.groups()
    if other:
        raise ValueError(f"{glyph} has a collating symbol or an equivalence class, which are not supported")
    if first is None:
        if named not in _POSIX:
            raise ValueError(f"{glyph} names no class of POSIX: there are {', '.join(_POSIX)}")
        return _POSIX[named]
    if last is None:
        return _escape(first)
    if first > last:
        raise ValueError(f"{glyph} has a range that goes backwards: {first}-{last}")
    return f"{_escape(first)}-{_escape(last)}"


def _escape(character: str) -> str:
    return f"\\{character}" if character in r"\]^[-&~|" else character


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
