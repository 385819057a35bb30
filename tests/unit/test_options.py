"""The types that options are made of."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from agent.options import (
    Address,
    Duration,
    HttpUrl,
    Interval,
    OptionError,
    ReadableFile,
    Secret,
    Size,
    mask_url,
    parse_duration,
    parse_size,
    split_address,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("64KiB", 65536),
        ("256MiB", 256 << 20),
        ("1.5GB", 1_500_000_000),
        ("2 TiB", 2 << 40),
        ("10kB", 10_000),
    ],
)
def test_size(text, size):
    """A size is bytes, with 1024 for KiB and 1000 for kB."""
    assert parse_size(text) == size
    assert TypeAdapter(Size).validate_python(text) == size


@pytest.mark.parametrize("value", [-1, True, 1.5, "lots", "5 apples", "-5MB", "", None, "MiB", [1]])
def test_no_size(value):
    """Whatever is not a size is refused with an example of one."""
    with pytest.raises(OptionError) as caught:
        parse_size(value)
    assert "256MiB" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(0, 0.0), (2, 2.0), (0.25, 0.25), ("200ms", 0.2), ("5s", 5.0), ("1.5m", 90.0), ("2 h", 7200.0), ("7d", 604800.0), ("5", 5.0)],
)
def test_duration(text, seconds):
    """A duration is seconds, as a number or as text (a variable of the environment is text), or text with a unit."""
    assert parse_duration(text) == pytest.approx(seconds)
    assert TypeAdapter(Duration).validate_python(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [-1, True, "-5", "5 minutes", "-5s", "", None, math.nan, math.inf, "400d", "1e3s"])
def test_no_duration(value):
    """Whatever is not a duration, or is longer than a year, is refused with an example of one."""
    with pytest.raises(OptionError) as caught:
        parse_duration(value)
    assert "200ms" in caught.value.fix


def test_interval_is_longer_than_zero():
    """An interval of zero would be a busy loop."""
    with pytest.raises(ValidationError):
        TypeAdapter(Interval).validate_python("0s")


@pytest.mark.parametrize(
    ("text", "parts"), [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))]
)
def test_address(text, parts):
    """An address is host and port; IPv6 stands in brackets."""
    assert split_address(text) == parts
    assert TypeAdapter(Address).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["9464", ":9464", "localhost", "localhost:", "localhost:65536", "localhost:-1", "::1:80", "[::1]", "[]:1", "a:²"]
)
def test_no_address(text):
    """Whatever lacks a host or a port is refused."""
    with pytest.raises(OptionError):
        split_address(text)


@pytest.mark.parametrize("url", ["http://localhost:4318", "https://user:secret@host/path?x=1", "http://[::1]:80/"])
def test_url(url):
    """An http URL is kept as it was written."""
    assert TypeAdapter(HttpUrl).validate_python(url) == url


_PORT = ": its port is not a number from 1 to 65535"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", ""),
        ("localhost:4318", ""),
        ("ftp://host", ""),
        ("http://", ""),
        ("http://host:99999", _PORT),
        ("http://host:0", _PORT),
        ("http://[::1", _PORT),
        ("http://a b/", ": it holds a space"),
        ("http://host:x", _PORT),
        ("http://::1:80/", _PORT),
    ],
)
def test_no_url(url, why):
    """Whatever is not an absolute http URL is refused, without repeating it: it may hold a password."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(HttpUrl).validate_python(url)
    (error,) = caught.value.errors()
    assert error["msg"] == f"Value error, is not an http(s) URL{why}"


def test_readable_file(tmp_path):
    """A file must exist and be a regular one; a directory and a missing one get different messages."""
    file = tmp_path / "ca.pem"
    file.touch()
    adapter = TypeAdapter(ReadableFile)
    assert adapter.validate_python(str(file)) == file
    with pytest.raises(ValidationError, match="not a regular file"):
        adapter.validate_python(tmp_path)
    for missing in (tmp_path / "none", file / "below"):
        with pytest.raises(ValidationError, match="no such file"):
            adapter.validate_python(missing)


@pytest.mark.parametrize(
    "name", ["-----BEGIN CERTIFICATE-----\n" + 4096 * "A", "a\0b", "\ud83d", "loop"], ids=["content", "nul", "surrogate", "loop"]
)
def test_a_text_that_cannot_be_a_name_is_refused(tmp_path, monkeypatch, name):
    """A certificate in place of its file's name, and what else no file is called, is refused with a fix and without what was written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ValidationError, match="is not the name of a readable file") as caught:
        TypeAdapter(ReadableFile).validate_python(Path(name))
    (error,) = caught.value.errors()
    assert error["ctx"]["error"].fix == "write the file's name, not its content"


def test_a_file_that_may_not_be_looked_at(tmp_path, monkeypatch):
    """A file in a directory that we may not search is refused like one that we may not read."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "stat", refuse)
    with pytest.raises(ValidationError, match="cannot be inspected"):
        TypeAdapter(ReadableFile).validate_python(tmp_path / "ca.pem")


class Holder(BaseModel):
    token: Secret


def test_secret_is_masked_everywhere():
    """A secret prints as asterisks in str, repr and dumps, and comes out only when asked for."""
    holder = Holder(token="hunter2")
    assert "hunter2" not in f"{holder} {holder!r} {holder.token} {holder.token!r} {holder.model_dump_json()} {holder.model_dump()}"
    assert holder.token.get_secret_value() == "hunter2"


def test_mask_url():
    """User and password of every URL in a text are masked, and nothing else of it."""
    assert mask_url("redis://:pw@host/0 and https://a:b@c/?q=d@e") == "redis://**********@host/0 and https://**********@c/?q=d@e"
    assert mask_url("http://host/a@b") == "http://host/a@b"
    assert mask_url("http://host?a@b") == "http://host?a@b"


def test_mask_url_masks_a_password_to_its_end():
    """An @ within the password does not end it: the rest is the password's as well, as for a client that connects."""
    assert mask_url("http://user:p@ss@host/a") == "http://**********@host/a"


def test_mask_url_masks_secrets_in_the_query():
    """A token in a query is as secret as a password; other parameters stay readable."""
    url = "https://host/x?full=1&api_key=abc&X-Token=d%20e&page=2&sig=f#top"
    assert mask_url(url) == "https://host/x?full=1&api_key=**********&X-Token=**********&page=2&sig=**********#top"
    assert mask_url("https://host/token=1?a=key") == "https://host/token=1?a=key"
