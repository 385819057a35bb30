"""The `web.config` file of Prometheus' exporter-toolkit (docs/web-configuration.md there): TLS, basic authentication, headers, rate limit.

File names are relative to the file's directory. Its TLS part is in `web_tls`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from agent.config.check import check
from agent.config.document import parse
from agent.config.settings import Section
from agent.config.tree import Fault, InvalidConfigError, Place, Site, Tree
from agent.config.web_tls import TlsServer, server_context
from agent.options import Duration, OptionError, Secret

if TYPE_CHECKING:
    from pathlib import Path

_BCRYPT: Final = re.compile(r"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
DEAREST: Final = 16
"""The highest bcrypt cost: some four seconds of a core per password, while a scrape waits for ten; each step takes twice as long."""
_MAKE_ONE: Final = "make one with `htpasswd -nBC 10 \"\" | tr -d ':\\n'`"
_FILES: Final = ("cert_file", "key_file", "client_ca_file")


def _hash(value: Secret) -> Secret:
    match = _BCRYPT.fullmatch(value.get_secret_value())
    if not match:
        raise OptionError("is not a bcrypt hash", _MAKE_ONE)
    if int(match[1]) > DEAREST:
        raise OptionError(f"has a bcrypt cost of {int(match[1])} and keeps a core busy for too long; at most {DEAREST}", _MAKE_ONE)
    return value


class ResponseHeaders(Section):
    """`http_server_config.headers`: set on every answer; an empty one is not sent at all."""

    content_security_policy: str | None = Field(default=None, alias="Content-Security-Policy")
    frame_options: Literal["", "deny", "sameorigin"] | None = Field(default=None, alias="X-Frame-Options")
    content_type_options: Literal["", "nosniff"] | None = Field(default=None, alias="X-Content-Type-Options")
    xss_protection: str | None = Field(default=None, alias="X-XSS-Protection")
    transport_security: str | None = Field(default=None, alias="Strict-Transport-Security")

    @model_validator(mode="after")
    def _fit_for_a_header(self) -> Self:
        for name, value in self.named():
            if not value.isascii() or not (value.isprintable() or not value):
                raise OptionError("holds characters that HTTP does not allow", "remove them", key=name)
        return self

    def named(self) -> list[tuple[str, str]]:
        """Lower-case names and values of those that are set."""
        return [(name.lower(), str(value)) for name, value in self.model_dump(by_alias=True).items() if value is not None]


class HttpServerConfig(Section):
    """`http_server_config`."""

    http2: bool = True
    """Allowed, not demanded: this server speaks HTTP/1.1 in any case."""
    headers: ResponseHeaders = ResponseHeaders()


class RateLimit(Section):
    """`rate_limit`: a token bucket over all clients."""

    interval: Duration = 0.0
    """Seconds until the next token; 0 = no limit."""
    burst: int = Field(default=0, ge=0)


class WebConfig(Section):
    """The whole file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: dict[str, Annotated[Secret, AfterValidator(_hash)]] = Field(default_factory=dict)
    rate_limit: RateLimit = RateLimit()

    @property
    def guarded(self) -> bool:
        """Whether clients have to authenticate."""
        return bool(self.basic_auth_users) or bool(
            self.tls_server_config and self.tls_server_config.client_auth_type == "RequireAndVerifyClientCert"
        )


def read_web(path: Path) -> WebConfig:
    """Read and check the file; InvalidConfigError with every fault, each with line and column."""
    try:
        tree = parse(path.read_bytes(), str(path), {})
    except OSError as error:
        raise InvalidConfigError([Fault(Place(str(path)), "", f"cannot be read: {error.strerror}")]) from error
    _from_its_directory(tree, path.parent)
    found = check(WebConfig, tree.data, Site(tree, ()))
    if found is not None and found.basic_auth_users and find_spec("bcrypt") is None:
        Site(tree, ()).fault(("basic_auth_users",), "needs the package bcrypt, which isn't installed", "pip install 'outrider[web]'")
    if found is not None and found.tls_server_config is not None:
        try:
            server_context(found.tls_server_config)
        except OSError as error:  # ssl.SSLError is one
            fix = "give the certificate with its chain, and its key, as PEM"
            Site(tree, ()).fault(("tls_server_config",), f"certificate, key or CA can't be used: {error.strerror or error}", fix)
    if found is None or tree.faults:
        raise InvalidConfigError(tree.faults)
    return found


def _from_its_directory(tree: Tree, directory: Path) -> None:
    section = tree.data.get("tls_server_config")
    if isinstance(section, dict):
        for key in _FILES:
            name = section.get(key)
            if isinstance(name, str):
                section[key] = str(directory / name)
