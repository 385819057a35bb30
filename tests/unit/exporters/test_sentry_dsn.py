"""Any DSN leads to its endpoint; what is none is refused without being repeated."""

from __future__ import annotations

import pytest

from agent.exporters.sentry_dsn import parse_dsn
from agent.options import OptionError

GOOD = {
    "https://key@o1.ingest.sentry.io/42": "https://o1.ingest.sentry.io/api/42/envelope/",
    "http://key@127.0.0.1:8000/1": "http://127.0.0.1:8000/api/1/envelope/",
    "https://key@example.com/sentry/7": "https://example.com/sentry/api/7/envelope/",
    "https://key@example.com/a/b/7/": "https://example.com/a/b/api/7/envelope/",
    "https://key:secret@example.com/7": "https://example.com/api/7/envelope/",
    "http://key@[::1]:8000/1": "http://[::1]:8000/api/1/envelope/",
    "http://spotlight@localhost:8969/0": "http://localhost:8969/api/0/envelope/",
    " https://key@example.com/project-slug ": "https://example.com/api/project-slug/envelope/",
}
BAD = ["", "key", "https://example.com/1", "https://key@example.com", "https://key@example.com/", "ftp://key@example.com/1", "https://k,y@h/1",
       "https://key@h:port/1", "https://key@/1", "https://k%20y@h/1", "https://key@h/ 1 2/3", "https://key@h/é/3"]  # fmt: skip


@pytest.mark.parametrize(("dsn", "url"), GOOD.items(), ids=GOOD)
def test_good(dsn, url):
    """Scheme, host, port, path prefix and project end up in the endpoint, the key does not."""
    assert parse_dsn(dsn).url == url


@pytest.mark.parametrize("dsn", BAD)
def test_bad(dsn):
    """A text that is not a DSN is refused with a fix, and not repeated in the message."""
    with pytest.raises(OptionError) as refusal:
        parse_dsn(dsn)
    assert refusal.value.fix
    assert not dsn or dsn not in str(refusal.value)


def test_authorization():
    """The header names version, client and key, and the secret of old DSNs."""
    assert parse_dsn("https://k@h/1").authorization("c/1") == "Sentry sentry_version=7, sentry_client=c/1, sentry_key=k"
    assert parse_dsn("https://k:s@h/1").authorization("c/1").endswith("sentry_key=k, sentry_secret=s")
