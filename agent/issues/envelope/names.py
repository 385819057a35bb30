r"""Names as Sentry accepts them: monitor slugs, releases, environments. Pure.

Sentry discards a name that it does not accept, and reports it to the project's owner only. So such a name is changed here, always in the same
way, and two different names stay two wherever a name is an identity:

    slug         a-z 0-9 _ - only, at most 50, not digits alone; one that is changed or cut ends in a hash of the whole name
    of a probe   the service's and its own name, with "--" between them; a hash of both where that could be read in two ways
    of a command the service, the program and its script, and a hash of the whole command line without dates, times and ids
    release      each of / \ CR LF FF TAB becomes "-"; over 200 bytes it is cut and ends in a hash; ".", ".." and "latest" get "release-" before
    environment  each of / CR LF FF TAB becomes "-"; over 64 bytes it is cut and ends in a hash; ".", ".." and "none" get "environment-" before

The rules are those of Sentry's Relay (sentry-release-parser, `validate_release`, `validate_environment`) and of its monitors' `slug`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from agent.names import DEPLOYMENT_ENVIRONMENT, DEPLOYMENT_ENVIRONMENT_BEFORE, SERVICE_NAME, SERVICE_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LONGEST_SLUG: Final = 50
LONGEST_RELEASE: Final = 200
LONGEST_ENVIRONMENT: Final = 64
_HASH: Final = 8
"""Hexadecimal digits of a hash."""
_NOT_IN_RELEASES: Final = re.compile(r"[/\\\r\n\f\t]")
_NOT_IN_ENVIRONMENTS: Final = re.compile(r"[/\r\n\f\t]")


_SCRIPT: Final = re.compile(r"[\w./+-]{0,200}\.(?:py|sh|bash|js|mjs|cjs|ts|rb|pl|php|jar)")
_PASSING: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T\d:.Z+-]*"  # dates and times
    r"|\d\d:\d\d[\d:.]*"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # UUIDs
    r"|\b(?=[a-fA-F]{0,64}[0-9])[0-9a-fA-F]{8,64}\b"  # digests, times since the epoch, 20261129
)
"""Parts of a command line in which two runs of one command differ."""


def slug(text: str) -> str:
    """A monitor's slug for a name; another one for another name."""
    plain = _plain(text)
    if plain == text and 0 < len(plain) <= LONGEST_SLUG and not plain.isdigit():
        return plain
    return _hashed(plain, text)


def probe_slug(service: str, probe: str) -> str:
    """The slug of the monitor of a service's probe: another one for another pair of names, wherever there are hyphens in them."""
    text = f"{service}--{probe}"
    if "--" in service or "--" in probe or service.endswith("-") or probe.startswith("-"):
        return _hashed(_plain(text), f"{service}\0{probe}")
    return slug(text)


def command_slug(service: str, command: Sequence[str]) -> str:
    """The slug of the monitor of a service's command: of the command line's words only the program and its script are shown in it."""
    shown = [service, PurePath(command[0]).name]
    script = next((word for word in command[1:] if _SCRIPT.fullmatch(word)), "")
    module = next((after for word, after in pairwise(command) if word == "-m"), "")
    shown += [name for name in (PurePath(script).name or module,) if name]
    return _hashed(_plain("-".join(shown)), "\0".join([service, *(_PASSING.sub("?", word) for word in command)]))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-")


def _hashed(plain: str, whole: str) -> str:
    return f"{plain[: LONGEST_SLUG - _HASH - 1].strip('-') or 'outrider'}-{_hash(whole)}"


def is_slug(text: str) -> bool:
    """Whether Sentry accepts a text as a monitor's slug."""
    return slug(text) == text


def release(text: str) -> str:
    """A release that Sentry accepts; "" stays so."""
    plain = _NOT_IN_RELEASES.sub("-", text.strip())
    return _cut(f"release-{plain}" if plain in (".", "..") or plain.lower() == "latest" else plain, LONGEST_RELEASE)


def environment(text: str) -> str:
    """An environment that Sentry accepts; "" stays so."""
    plain = _NOT_IN_ENVIRONMENTS.sub("-", text.strip())
    return _cut(f"environment-{plain}" if plain in (".", "..") or plain.lower() == "none" else plain, LONGEST_ENVIRONMENT)


def release_of(resource: Mapping[str, str]) -> str:
    """`name@version` of a resource; "" without a version. As it is written: see `release`."""
    version = resource.get(SERVICE_VERSION, "")
    return version if "@" in version or not version else f"{resource.get(SERVICE_NAME, '')}@{version}"


def environment_of(resource: Mapping[str, str]) -> str:
    """The environment of a resource, from either spelling of the convention. As it is written: see `environment`."""
    return resource.get(DEPLOYMENT_ENVIRONMENT) or resource.get(DEPLOYMENT_ENVIRONMENT_BEFORE, "")


def changes(releases: str, environments: str) -> Iterator[str]:
    """A sentence for each of the two that Sentry does not accept, with the name that is sent instead."""
    for what, given, sent in (("release", releases, release(releases)), ("environment", environments, environment(environments))):
        if given != sent:
            yield f"Sentry does not accept the {what} {given!r}: it is sent as {sent!r}"


def _cut(text: str, longest: int) -> str:
    """The text, or as many of its first bytes as leave room for a hash of it."""
    data = text.encode("utf-8", "replace")
    if len(data) <= longest:
        return text
    return f"{data[: longest - _HASH - 1].decode('utf-8', 'ignore')}-{_hash(text)}"


def _hash(text: str) -> str:
    import hashlib  # noqa: PLC0415 - with OpenSSL, for the few names that are changed

    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_HASH]
