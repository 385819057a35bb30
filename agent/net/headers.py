"""Headers that a person configures for requests: names checked, values secret."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

from agent.options import OptionError, Secret

_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""What a header's name is made of (RFC 9110, 5.6.2)."""
_OWN: Final = frozenset({"content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"})


def _checked(headers: dict[str, Secret]) -> dict[str, Secret]:
    for name, value in headers.items():
        if not name or not _TOKEN.issuperset(name):
            raise OptionError(f"{name!r} is not a header name", "use letters, digits and hyphens, as in api-key")
        if name.lower() in _OWN:
            raise OptionError(f"the header {name!r} is the client's own", "leave it out")
        text = value.get_secret_value()
        if not text.isascii() or not (text.isprintable() or not text):
            raise OptionError(
                f"the value of the header {name!r} holds characters that HTTP does not allow", "percent-encode or remove them"
            )
    return headers


Headers = Annotated[dict[str, Secret], AfterValidator(_checked)]
"""Header names and their values, which are secrets."""
