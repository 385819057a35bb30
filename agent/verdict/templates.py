"""What a message has in common with its like: the template, with everything that looks like a value taken out. Pure."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 2048
"""Characters that are looked at; what lies behind is left out of the template."""

_VALUE: Final = re.compile(
    r"(?<==)(?!=)(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'|[^\s,;&)\]}\"']{1,200})"  # key=value
    r"|\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"  # an e-mail address
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"  # a UUID
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\b(?=[a-fA-F]{0,64}[0-9])[0-9a-fA-F]{12,64}\b"  # a digest
    r"|\b\d[\d.:TZ+-]*"  # numbers, times, addresses
)


def parametrise(text: str) -> tuple[str, tuple[str, ...]]:
    """The text with `%s` for each value, and the values. A text without any comes back as it is."""
    text = text[:LONGEST]
    values: list[str] = []

    def take(match: re.Match[str]) -> str:
        values.append(match[0])
        return "%s"

    template = _VALUE.sub(take, text.replace("%", "%%"))
    return (template, tuple(values)) if values else (text, ())
