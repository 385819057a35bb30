"""A DSN: where a project's envelopes go and the key that lets them in (develop.sentry.dev, "SDK Overview: Parsing the DSN").

    https://KEY[:SECRET]@HOST[:PORT][/PATH]/PROJECT  ──▶  https://HOST[:PORT][/PATH]/api/PROJECT/envelope/

The key never gets into the URL, so no message about the URL tells it.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from agent.net.message import parse_url
from agent.options import OptionError

FORM = "write it as the project's settings show it: https://KEY@HOST/PROJECT"


class Dsn(NamedTuple):
    """A DSN, taken apart."""

    url: str
    """Of the envelope endpoint; without the key."""
    key: str
    secret: str
    """Of old DSNs; empty if there is none."""

    def authorization(self, client: str) -> str:
        """The value of `X-Sentry-Auth`."""
        parts = ["Sentry sentry_version=7", f"sentry_client={client}", f"sentry_key={self.key}"]
        return ", ".join([*parts, f"sentry_secret={self.secret}"] if self.secret else parts)


def parse_dsn(text: str) -> Dsn:
    """Take a DSN apart; OptionError (without the DSN in it) says what is wrong."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise OptionError("is not a DSN", FORM) from None
    path, _, project = parts.path.rstrip("/").rpartition("/")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptionError("is not a DSN: it does not begin with http:// or https:// and a host", FORM)
    if not text.isascii():
        raise OptionError("is not a DSN: it holds characters that no DSN has", FORM)
    if not parts.username:
        raise OptionError("has no key before the @", FORM)
    if not project:
        raise OptionError("names no project at its end", FORM)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    url = f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}/api/{project}/envelope/"
    key, secret = unquote(parts.username), unquote(parts.password or "")
    if not (key + secret).isprintable() or any(character in key + secret for character in ', "'):
        raise OptionError("has a key with characters that no key has", FORM)
    try:
        parse_url(url)
    except ValueError as error:
        raise OptionError(f"is not a DSN: {error}", FORM) from None
    return Dsn(url, key, secret)
