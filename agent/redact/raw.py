r"""The bytes that may precede a word in raw bytes.

A text may be written with escapes (`\n`, `\f`, `\u00ef`, `%3f`), some more than once over. Each ends in a letter or a digit, though the word begins behind it.
"""

from __future__ import annotations

from typing import Final

ESCAPE: Final = r"\\[bfnrtv]|\\?[ux][0-9a-f]{2}(?:[0-9a-f]{2})?|%[0-9a-f]{2}"
BEGINS: Final = rf"(?:^|[^0-9a-z]|{ESCAPE})"
"""Before a word or a number that must begin here, in a search without case over bytes."""
