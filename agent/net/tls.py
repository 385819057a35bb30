"""TLS options of clients, and the context made of them. The context follows its files: a rotated CA or certificate needs no restart."""

from __future__ import annotations

import os
import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self
from weakref import WeakValueDictionary

from pydantic import Field, model_validator

from agent.component import ComponentConfig
from agent.net.errors import ErrorKind, NetworkError
from agent.options import ReadableFile  # noqa: TC001 - pydantic reads the annotation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class TlsOptions(ComponentConfig):
    """Verification of the server, and the client's own certificate. Used for https URLs only."""

    ca_file: ReadableFile | None = None
    """Certificates of authorities to trust, PEM; by default the system's. Read again when the file changes."""
    cert_file: ReadableFile | None = None
    """The client's certificate and its chain, PEM, for mutual TLS. Read again when the file changes."""
    key_file: ReadableFile | None = None
    """The private key of `cert_file`, PEM, without passphrase; not needed if `cert_file` holds it too."""
    server_name: str | None = Field(default=None, min_length=1)
    """The name to ask for (SNI) and to verify, if it is not the URL's host."""
    insecure_skip_verify: bool = False
    """Accept any certificate. Anyone on the way can then read everything, credentials included."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest TLS version to accept."""

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        return self


_NOISE: Final = re.compile(r"\[[^\]]*\] *| *\(_ssl\.c:\d+\)")
"""In messages of Python's ssl module: the library's name and a place in its source."""


class TlsContext:
    """The context of one set of options. It is loaded when first needed, and again when one of its files has changed."""

    def __init__(self, options: TlsOptions, alpn: Sequence[str] = ()) -> None:
        self._options = options
        self._alpn = alpn
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._context: ssl.SSLContext | None = None

    def get(self) -> ssl.SSLContext:
        """Return the context for a new connection.

        While a file is half-way replaced (missing, a key that does not match), the former context stays in use; NetworkError if there is none.
        """
        try:
            stamp = tuple((status.st_ino, status.st_mtime_ns, status.st_size) for status in map(os.stat, self._files()))
            if self._context is None or stamp != self._stamp:
                self._context, self._stamp = load_context(self._options, self._alpn), stamp
        except (OSError, ssl.SSLError) as error:
            if self._context is None:
                names = ", ".join(map(str, self._files()))
                why = _NOISE.sub("", getattr(error, "reason", None) or error.strerror or str(error)).replace("_", " ").lower()
                remedy = "each must be PEM, and a key that of its certificate"
                raise NetworkError(ErrorKind.TLS, f"the TLS files can't be used ({names}): {why}; {remedy}") from error
        return self._context

    def _files(self) -> list[Path]:
        return [path for path in (self._options.ca_file, self._options.cert_file, self._options.key_file) if path]


_shared: Final[WeakValueDictionary[tuple[TlsOptions, tuple[str, ...]], TlsContext]] = WeakValueDictionary()


def shared_context(options: TlsOptions, alpn: tuple[str, ...] = ()) -> TlsContext:
    """Return the one context of these options: the system's certificates take 2 MiB each time that they are loaded."""
    found = _shared.get((options, alpn))
    if found is None:
        found = _shared[options, alpn] = TlsContext(options, alpn)
    return found


def load_context(options: TlsOptions, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """Make a client context that offers these protocols (RFC 7301); OSError or ssl.SSLError if a file can't be used."""
    context = ssl.create_default_context(cafile=options.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if options.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if options.cert_file:
        context.load_cert_chain(options.cert_file, options.key_file, password="")  # without one OpenSSL would ask for it on the terminal
    if options.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsInfo(NamedTuple):
    """The agreed parameters of a TLS connection."""

    version: str
    """As OpenSSL names it: `TLSv1.3`."""
    cipher: str
    not_after: float | None
    """When the server's certificate expires, seconds since the Unix epoch; None if it could not be read."""


def describe(connection: ssl.SSLObject) -> TlsInfo:
    """Return the agreed parameters of an established connection."""
    cipher = connection.cipher()
    der = connection.getpeercert(binary_form=True)
    return TlsInfo(connection.version() or "", cipher[0] if cipher else "", certificate_expiry(der) if der else None)


_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons for an answer that is not TLS."""
_REMEDIES: Final = {
    9: "set this machine's clock, if it is wrong",
    10: "renew it, or set this machine's clock, if that is wrong",
    **dict.fromkeys((2, 18, 19, 20, 21), "name the file of its authority as ca_file under tls"),
    **dict.fromkeys((62, 64), "use a name that it was made for, or give that as server_name under tls"),
}
"""X509_V_ERR_… → the fix."""


def explain(error: Exception) -> str:
    """Return one sentence about a failed handshake, with the fix where it is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = _REMEDIES.get(error.verify_code, "")
        return f"the server's certificate is not trusted: {error.verify_message}" + (f"; {remedy}" if remedy else "")
    if isinstance(error, ssl.SSLError) and getattr(error, "reason", None) in _NOT_TLS:
        return "TLS handshake failed: the server does not speak TLS on this port; write http:// if that is meant"
    if isinstance(error, ssl.SSLError) and getattr(error, "reason", None) == "TLSV1_ALERT_NO_APPLICATION_PROTOCOL":
        return (
            "TLS handshake failed: the server does not speak HTTP/1 on this port; gRPC's speak HTTP/2 only, and OTLP/HTTP usually has 4318"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {(getattr(error, 'reason', None) or str(error)).replace('_', ' ').lower()}"
    return f"TLS handshake failed: {str(error) or type(error).__name__}"


def certificate_expiry(der: bytes) -> float | None:
    """Read `notAfter` of an X.509 certificate (RFC 5280 section 4.1), as seconds since the Unix epoch; None if it can't be read.

    The standard library shows it for verified certificates only, and the expiry matters most for the others.
    """
    try:
        tbs = _children(_children(der)[0][1])[0][1]
        fields = [item for item in _children(tbs) if item[0] != 0xA0]  # [0] = the optional version
        tag, value = _children(fields[3][1])[1]  # serial, signature, issuer, validity
        return _time(tag, value.decode("ascii"))
    except (IndexError, ValueError):
        return None


def _children(data: bytes) -> list[tuple[int, bytes]]:
    """Return the (tag, content) pairs of consecutive DER values."""
    found = []
    while data:
        length, start = data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        found.append((data[0], data[start : start + length]))
        data = data[start + length :]
    return found


def _time(tag: int, text: str) -> float:
    """Parse UTCTime (years 1950 to 2049) or GeneralizedTime, in the form of RFC 5280 section 4.1.2.5."""
    if tag == 0x17:
        text = ("20" if int(text[:2]) < 50 else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
