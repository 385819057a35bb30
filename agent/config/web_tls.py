"""`tls_server_config` of a `web.config`, and the context made of it, whose every handshake uses the files as they are then.

What the format knows and Python's `ssl` cannot do is refused with its place, never ignored.
"""

from __future__ import annotations

import os
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from agent.config.settings import Section
from agent.options import OptionError, ReadableFile

if TYPE_CHECKING:
    from pathlib import Path

CIPHERS: Final = {
    f"TLS_ECDHE_{key}_WITH_{name}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for name, openssl in {
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        "CHACHA20_POLY1305": "CHACHA20-POLY1305",
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
    }.items()
}
"""Go's name of a cipher suite → OpenSSL's."""
CURVES: Final = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


def _client_auth(value: str) -> str:
    if value in ("RequestClientCert", "RequireAnyClientCert"):
        raise OptionError(
            f"{value} takes a certificate without verifying it, which is not available here", "write RequireAndVerifyClientCert"
        )
    if value not in ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"):
        raise OptionError(
            f"{value!r} is not a client_auth_type", "write NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        )
    return value


def _cipher(value: str) -> str:
    if value not in CIPHERS:
        raise OptionError(f"{value!r} is not available", f"choose of {', '.join(CIPHERS)}; suites of TLS 1.3 are not chosen")
    return value


def _curve(value: str) -> str:
    if value not in CURVES:
        raise OptionError(f"{value!r} is not available", f"choose of {', '.join(CURVES)}")
    return value


class TlsServer(Section):
    """`tls_server_config`. The files are read again when they change."""

    cert: str | None = None
    key: str | None = Field(default=None, repr=False)
    client_ca: str | None = None
    cert_file: ReadableFile | None = None
    key_file: ReadableFile | None = None
    client_ca_file: ReadableFile | None = None
    client_auth_type: Annotated[str, AfterValidator(_client_auth)] = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[Annotated[str, AfterValidator(_cipher)], ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[tuple[Annotated[str, AfterValidator(_curve)], ...], Field(max_length=1)] = ()
    """One at most: OpenSSL takes no list from Python."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name in ("cert", "key", "client_ca"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise OptionError(f"{name} and {name}_file exclude each other", "keep one of the two", key=name)
        for name in ("cert", "key"):
            if not (getattr(self, name) or getattr(self, f"{name}_file")):
                raise OptionError(f"there is no {name}", f"set {name}_file", key=f"{name}_file")
        if list(VERSIONS).index(self.min_version) > list(VERSIONS).index(self.max_version):
            raise OptionError(
                f"min_version {self.min_version} is newer than max_version {self.max_version}", "swap them", key="min_version"
            )
        return self._clients_fit()

    def _clients_fit(self) -> Self:
        verifies, has_ca = self.client_auth_type != "NoClientCert", bool(self.client_ca or self.client_ca_file)
        if verifies != has_ca:
            fix = "set client_ca_file" if verifies else "write client_auth_type: RequireAndVerifyClientCert"
            raise OptionError("client_auth_type and client_ca_file need each other", fix, key="client_auth_type")
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            fix = "write client_auth_type: RequireAndVerifyClientCert"
            raise OptionError("without a certificate there is no name to compare", fix, key="client_allowed_sans")
        return self


_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


def server_context(config: TlsServer) -> ssl.SSLContext:
    """A context whose every handshake uses the files as they are then; OSError (ssl.SSLError is one) if they can't be used now.

    While a file is half-way replaced, the former certificate stays in use.
    """
    listening = _load(config)
    current, stamp = listening, _stamp(config)

    def follow(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal current, stamp
        try:
            if (now := _stamp(config)) != stamp:
                current, stamp = _load(config), now
        except OSError:
            pass
        connection.context = current

    listening.sni_callback = follow  # called at every ClientHello, with a name or without
    return listening


def _load(config: TlsServer) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = VERSIONS[config.min_version], VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    with ExitStack() as stack:
        cert, key = _path(config.cert_file, config.cert, stack), _path(config.key_file, config.key, stack)
        context.load_cert_chain(cert, key, password="")  # without one OpenSSL would ask the terminal, and wait
    if config.cipher_suites:
        context.set_ciphers(":".join(CIPHERS[name] for name in config.cipher_suites))
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for name in config.curve_preferences:
        context.set_ecdh_curve(CURVES[name])
    context.verify_mode = _MODES[config.client_auth_type]
    if config.client_ca or config.client_ca_file:
        context.load_verify_locations(cafile=config.client_ca_file, cadata=config.client_ca)
    return context


def _path(path: Path | None, text: str | None, stack: ExitStack) -> str:
    """A name for what is given as a file or inline: OpenSSL reads only files, so an inline key gets one that is nowhere but in memory."""
    if path is not None:
        return str(path)
    number = os.memfd_create("pem", os.MFD_CLOEXEC)
    stack.callback(os.close, number)
    os.write(number, (text or "").encode())
    return f"/proc/self/fd/{number}"


def _stamp(config: TlsServer) -> tuple[tuple[int, int, int], ...]:
    found = [path.stat() for path in (config.cert_file, config.key_file, config.client_ca_file) if path]
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)
