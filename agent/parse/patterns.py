"""Patterns that a person writes: RE2, so that none can cost more than linear time, whatever it is and whatever it is given."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Protocol, cast

import re2
from pydantic import AfterValidator

from agent.options import OptionError


class Compiled(Protocol):
    """A pattern at work."""

    def search(self, text: str) -> object | None:
        """Something if the pattern is found in the text."""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Compiled:
    """Compile; OptionError if it is none."""
    options = re2.Options()
    options.log_errors = False  # it would write to standard error past our own log
    try:
        return cast("Compiled", re2.compile(pattern, options))
    except re2.error as error:
        message = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise OptionError(f"is not a regular expression: {message}", _fix(message)) from error


def _fix(message: str) -> str:
    """The fix for an error of RE2."""
    if message.startswith("missing"):
        return "close it, or write a backslash before what is meant literally, as in \\[ or \\("
    return "see the syntax of RE2; look-around and back-references do not exist there"


def _checked(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_checked)]
"""A regular expression in the syntax of RE2."""
