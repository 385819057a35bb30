"""The types that options are made of: sizes, durations, addresses, files, secrets. Each says what it accepts when it refuses."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, WithJsonSchema

if TYPE_CHECKING:
    from collections.abc import Iterable

Secret = SecretStr
"""A value that prints as asterisks; `get_secret_value()` reveals it. Each such option gets a twin `<name>_file` in the configuration."""

MASK: Final = "**********"

_SIZE: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))? ?([kKMGT]i?)?B?")
_POWER: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_DURATION: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(?: ?(ms|s|m|h|d))?")
_SECONDS: Final = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/?#\s]+(?=@)")
_QUERY_SECRET: Final = re.compile(
    r"(?<=[?&])([^=&#\s]{0,64}(?:passw|pwd|secret|token|key|auth|signature|credential|session|jwt)[^=&#\s]{0,64}=|sig=)[^&#\s]+",
    re.IGNORECASE,
)
_LONGEST: Final = 366 * 86400.0
_LARGEST: Final = 1 << 60


class OptionError(ValueError):
    """A value that an option refuses, and what to write instead; a check of a whole mapping may name the option by its `key`."""

    def __init__(self, message: str, fix: str, *, key: str = "") -> None:
        super().__init__(message)
        self.fix = fix
        self.key = key


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that was probably meant: the most similar one, if its similarity (0 to 1) is enough; else empty."""
    import difflib  # noqa: PLC0415 - only a fault asks

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), "")


def parse_size(value: object) -> int:
    """Bytes from a whole number, or from text such as `64KiB`, `256MiB`, `1.5GB` (IEC 80000-13: KiB = 1024, kB = 1000)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise OptionError("is not a size", "write a number of bytes, or a number with a unit, as in 256MiB")
    whole, fraction, prefix = match[1], match[2] or "", match[3] or ""
    base = 1024 if prefix.endswith("i") else 1000
    return int(whole + fraction) * int(base ** _POWER[prefix[:1].upper()]) // int(10 ** len(fraction))


def parse_duration(value: object) -> float:
    """Seconds from a number of seconds, as text as well, or from text such as `200ms`, `5s`, `1.5m`, `2h`, `7d`."""
    seconds = -1.0
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if 0 <= value <= _LONGEST else -1.0
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        seconds = float(match[1]) * _SECONDS[match[2]]
    if not 0 <= seconds <= _LONGEST:  # also refuses NaN
        raise OptionError("is not a duration", "write a number of seconds, or a number with a unit, as in 200ms, 5s, 2m")
    return seconds


def _not_zero(seconds: float) -> float:
    if seconds == 0:
        raise OptionError("must be longer than zero", "write a duration such as 10s")
    return seconds


def split_address(value: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port`; port 0 lets the kernel choose."""
    host, _, port = value.rpartition(":")
    if host and port.isascii() and port.isdigit() and (len(port) > 5 or int(port) > 65535):
        raise OptionError(f"has the port {port[:20]}, which does not exist", "write a port up to 65535")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare) != (bare != host) or not port.isascii() or not port.isdigit():
        raise OptionError("is not an address", "write host:port, as in 127.0.0.1:9464 or [::1]:9464")
    return bare, int(port)


def _address(value: object) -> object:
    split_address(str(value))
    return value


def with_scheme(text: str) -> str:
    """The URL that was probably meant by one without a scheme, with its password masked."""
    return mask_url("http://" + (f"127.0.0.1:8080{text}" if not text or text.startswith("/") else text))


_HOST_AND_PORT: Final = re.compile(r"[A-Za-z0-9._-]{1,253}:[0-9]{1,5}(?:/\S*)?")


def _http_url(value: str) -> str:
    fix = f"write {with_scheme(value)}" if _HOST_AND_PORT.fullmatch(value) else "write an absolute URL, as in http://localhost:4318"
    if value.startswith(("http://", "https://")) and any(character.isspace() for character in value):
        raise OptionError("is not an http(s) URL: it holds a space", "remove it, or write %20 for it")
    if not _has_port(value):
        raise OptionError("is not an http(s) URL: its port is not a number from 1 to 65535", _PORT_FIX)
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(character.isspace() for character in value):
        raise OptionError("is not an http(s) URL", fix)
    return value


_PORT_FIX: Final = "write such a number after the host, and an IPv6 address in brackets, as in http://[::1]:4318"


def _has_port(url: str) -> bool:
    """Whether a URL's port, if it has one, is one: behind an IPv6 address without brackets, or with one of two, nothing is."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def local_path(text: str) -> str:
    """The same text, if it can be a path: without NUL, in bytes that a name can have. A leading `~` is refused: only a shell expands it."""
    if "\0" in text or not _is_encodable(text):
        raise OptionError("is not a path: it holds characters that no name has", "remove them")
    if text.startswith("~"):
        raise OptionError("begins with ~, which only a shell expands", "write the whole path, as in /home/…, or begin with ./")
    return text


def _is_encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _path(value: object) -> object:
    if isinstance(value, str) and any("\udc80" <= character <= "\udcff" for character in local_path(value)):
        raise OptionError("is not valid UTF-8", "give it a name that is")  # SQLite takes no other, nor does JSON
    return value


def _readable(path: Path) -> Path:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OptionError(f"no such file: {path}", "create it or correct the path") from error
    except PermissionError as error:
        raise OptionError(f"cannot be inspected: {path}", f"let user {os.geteuid()} read it, and search its directories") from error
    except (OSError, ValueError) as error:  # too long, as a whole certificate is; characters that no name has; a loop
        raise OptionError("is not the name of a readable file", "write the file's name, not its content") from error
    if not stat.S_ISREG(mode):
        raise OptionError(f"not a regular file: {path}", "name a file")
    if not os.access(path, os.R_OK):
        raise OptionError(f"may not be read: {path}", f"let user {os.geteuid()} read it")
    return path


def mask_url(text: str) -> str:
    """The text with the user and password of every URL in it masked, and what its query says under a name for secrets."""
    return _QUERY_SECRET.sub(rf"\1{MASK}", _CREDENTIALS.sub(MASK, text))


_DURATION_SCHEMA: Final = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": rf"^{_DURATION.pattern}$"}],
    "title": "duration",
}
_SIZE_SCHEMA: Final = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": rf"^{_SIZE.pattern}$"}], "title": "size"}

Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes: `256MiB`, or a number."""
Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds: `200ms`, `5s`, or a number."""
Interval = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_not_zero), WithJsonSchema(_DURATION_SCHEMA)]
"""A duration longer than zero."""
Address = Annotated[str, BeforeValidator(_address)]
"""`host:port` or `[v6]:port`."""
HttpUrl = Annotated[str, AfterValidator(_http_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
"""An absolute http or https URL, kept as it was written."""
FilePath = Annotated[Path, BeforeValidator(_path)]
"""A path. The file need not exist."""
ReadableFile = Annotated[Path, AfterValidator(_readable)]
"""A regular file that exists and that the agent may read."""
