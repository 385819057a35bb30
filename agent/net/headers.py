"""Configured headers of requests: their names are checked, their values are secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator

from agent.options import OptionError, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The characters of a header's name (RFC 9110 section 5.6.2)."""
_OWN: Final = frozenset({"content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"})


def objection(name: str, value: str, reserved: Iterable[str] = _OWN, whose: str = "client") -> OptionError | None:
    """Return why a header can't be sent, or None. The message does not show the value, which is a secret."""
    if not name or not _TOKEN.issuperset(name):
        return OptionError(f"{name!r} is not a header name", "use letters, digits and hyphens, as in api-key")
    if name.lower() in reserved:
        return OptionError(f"the header {name!r} is the {whose}'s own", "leave it out")
    if not value.isascii() or not (value.isprintable() or not value):
        return OptionError(f"the value of the header {name!r} holds characters that HTTP does not allow", "percent-encode or remove them")
    return None


def checked(reserved: Iterable[str] = _OWN, whose: str = "client") -> AfterValidator:
    """Return the validator of an option that holds headers; `whose` sender sets the `reserved` ones itself."""

    def check(headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if error := objection(name, value.get_secret_value(), reserved, whose):
                raise error
        return headers

    return AfterValidator(check)


Headers = Annotated[dict[str, Secret], checked()]
"""Header names and their values, which are secrets."""
