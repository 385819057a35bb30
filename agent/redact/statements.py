"""Values that SQL names by their place: `INSERT INTO users (name, password) VALUES ('x', '…')`, `Key (api_token)=(…) already exists`.

A parameter of a driver's report, `[parameters: ('x', '…')]`, belongs to the column whose value is a placeholder, or to each column in turn.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD: Final = re.compile(
    r"(?i)\b(?:(?:insert|replace)\s(?:[\w\s]{0,40}?\binto\s+[^\s(]{1,200}\s*)?\((?P<columns>[^()]+)\)\s*(?:overriding\s+\w+\s+value\s+)?values?\s*|key\s\((?P<key>[^()]+)\)=)(?=\()"
)
_PARAMETERS: Final = re.compile(r"(?i)\b(?:parameters|params|args|binds?)[:=]\s*\[?(?=[(\[])")
_FAR: Final = 1000
"""Characters behind a statement in which its parameters begin."""
_NEXT_ROW: Final = re.compile(r"\s*,\s*(?=[(\[])")
_LITERAL: Final = r"""[a-zA-Z]?'(?:[^'\\]|\\.|'')*(?:'|$)|[a-zA-Z]?"(?:[^"\\]|\\.)*(?:"|$)"""
_ITEM: Final = re.compile(rf"""\s*(?P<value>(?>{_LITERAL}|\((?>[^()'"]|{_LITERAL})*+\)|[^,()\[\]'"])*+)(?P<end>[,)\]]|$)""")
_OPENING: Final = re.compile(r"""^(?:[a-zA-Z]?['"])?""")
_PLACEHOLDER: Final = re.compile(r"\?\d*|\$\d+|%s|%\(\w+\)s|:\w+|@\w+")


class _Item(NamedTuple):
    start: int
    end: int
    text: str


def secrets(text: str, is_secret: Callable[[str, str], bool]) -> list[tuple[int, int]]:
    """The spans of the values whose columns name a secret, in order; a literal's without its quotes. `is_secret(column, value)` decides."""
    found: list[tuple[int, int]] = []
    for head in HEAD.finditer(text):
        columns = [column.strip().strip("\"'`[]").rsplit(".", 1)[-1] for column in (head["columns"] or head["key"]).split(",")]
        rows = list(_rows(text, head.end()))
        if not rows:
            continue
        placed = [column for column, item in zip(columns, rows[0], strict=False) if _PLACEHOLDER.fullmatch(item.text)]
        parameters = _PARAMETERS.search(text, rows[-1][-1].end, rows[-1][-1].end + _FAR)
        named = [(columns, row) for row in rows] + [
            (placed or columns, row) for row in (_rows(text, parameters.end()) if parameters else ())
        ]
        found += [
            _inside(item) for names, row in named for name, item in zip(names, row, strict=False) if is_secret(name, _bare(item.text))
        ]
    return sorted(set(found))


def _rows(text: str, at: int) -> Iterator[list[_Item]]:
    """The rows of values from an opening bracket on: `('a', 1), ('b', 2)`."""
    while text[at : at + 1] in ("(", "["):
        row: list[_Item] = []
        at += 1
        while item := _ITEM.match(text, at):
            row.append(_Item(*item.span("value"), item["value"].rstrip()))
            at = item.end()
            if item["end"] != ",":
                break
        if row:
            yield row
        following = _NEXT_ROW.match(text, at)
        at = following.end() if following else len(text)


def _inside(item: _Item) -> tuple[int, int]:
    """The span between a literal's quotes, or the whole value."""
    opening = _OPENING.match(item.text)
    length = opening.end() if opening else 0
    closed = length > 0 and item.text[-1] == item.text[length - 1] and len(item.text) > length
    return item.start + length, item.start + len(item.text) - closed


def _bare(text: str) -> str:
    return text[1:-1] if text[:1] in ("'", '"') else text
