"""The proxy of a request: the configured one, or that of the environment. Pure decisions.

    HTTPS_PROXY HTTP_PROXY   the proxy for https and for http URLs; the lower-case name wins, as with curl and Python
    ALL_PROXY                for both, where their own is not set
    NO_PROXY                 comma-separated: `*`, a host or domain and all below it, an address, a CIDR block, each with `:port` or without

Requests to this machine (`localhost`, 127.0.0.0/8, ::1) use no proxy of the environment, as with Go and so with the OpenTelemetry Collector.
A configured proxy (`proxy_url`) takes all requests, whatever the environment says.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from pydantic import AfterValidator, WithJsonSchema

from agent.net.addresses import bracketed, is_loopback, parse_ip
from agent.net.errors import ErrorKind, NetworkError
from agent.net.message import DEFAULT_PORTS, basic
from agent.options import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.net.message import ParsedUrl

DIRECT: Final = "direct"
"""As `proxy_url`: through no proxy, whatever the environment says."""
_FIX: Final = "write http://host:port or https://host:port, with user:password@ before the host if the proxy asks for it"


class Proxy(NamedTuple):
    """An HTTP proxy."""

    secure: bool
    """Whether the connection to the proxy itself uses TLS."""
    host: str
    port: int
    authorization: str | None
    """`Basic …` if its URL carries a user; never shown."""

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{bracketed(self.host)}:{self.port}"


class Chooser(Protocol):
    """Chooses the proxy of a request."""

    def choose(self, target: ParsedUrl) -> Proxy | None:
        """Return the proxy, or None for a direct connection; NetworkError if the setting can't be used."""


def parse_proxy(url: str) -> Proxy:
    """Split a proxy's URL; without a scheme it is http. ValueError (without the URL, which may hold a password)."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        written = parts.port
    except ValueError:
        raise ValueError("is not a proxy's URL") from None  # urllib's message shows parts of it
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError(f"{parts.scheme} proxies are not supported")
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or any(map(str.isspace, url)):
        raise ValueError("is not a proxy's URL")
    port = DEFAULT_PORTS[parts.scheme] if written is None else written
    return Proxy(parts.scheme == "https", parts.hostname, port, basic(parts.username, parts.password))


def _proxy_url(text: str) -> str:
    try:
        if text != DIRECT:
            parse_proxy(text)
    except ValueError as error:
        raise OptionError(str(error), f"{_FIX}, or {DIRECT}") from error
    return text


ProxyUrl = Annotated[str, AfterValidator(_proxy_url), WithJsonSchema({"type": "string"})]
"""`http://user:password@proxy:3128`, `https://…`, or `direct`."""


class Fixed(NamedTuple):
    """One proxy for all requests."""

    proxy: Proxy

    def choose(self, _target: ParsedUrl) -> Proxy:
        """See `Chooser`."""
        return self.proxy


def chooser(proxy_url: str | None, env: Mapping[str, str] = os.environ) -> Chooser | None:
    """Return the chooser for an exporter with this option; None if no request uses a proxy."""
    if proxy_url == DIRECT:
        return None
    if proxy_url is not None:
        return Fixed(parse_proxy(proxy_url))
    found = Environment(env)
    return found or None


class Environment:
    """The variables of the environment, read once."""

    def __init__(self, env: Mapping[str, str]) -> None:
        named = {key: _variable(env, key) for key in ("https_proxy", "http_proxy", "all_proxy", "no_proxy")}
        shared = named["all_proxy"]
        self._secure = named["https_proxy"] or shared
        self._plain = named["http_proxy"] or shared
        self._rules = [rule.strip().lower() for rule in named["no_proxy"][1].split(",") if rule.strip()] if named["no_proxy"] else []

    def __bool__(self) -> bool:
        return bool(self._secure or self._plain)

    def choose(self, target: ParsedUrl) -> Proxy | None:
        """See `Chooser`."""
        found = self._secure if target.secure else self._plain
        if found is None or is_loopback(target.host) or any(excepts(rule, target.host, target.port) for rule in self._rules):
            return None
        variable, url = found
        try:
            return parse_proxy(url)
        except ValueError as error:
            raise NetworkError(ErrorKind.PROXY, f"{variable}: {error}; {_FIX}, or name {target.host} in NO_PROXY") from error


def _variable(env: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Return name and value of a variable that is set and not empty, its lower-case name first."""
    return next(((key, env[key].strip()) for key in (name, name.upper()) if env.get(key, "").strip()), None)


def excepts(rule: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY (in lower case) covers this host and port."""
    host = host.lower().rstrip(".")
    if rule == "*":
        return True
    if "/" in rule:
        return _within(host, rule)
    name, only = _split_port(rule)
    if only is not None and only != port:
        return False
    bare = name.removeprefix("*").strip(".")
    if (address := parse_ip(host)) is not None:
        return address == parse_ip(bare)
    return bool(bare) and (host == bare or host.endswith(f".{bare}"))


def _split_port(rule: str) -> tuple[str, int | None]:
    if rule.startswith("["):
        name, _, port = rule[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = rule.rpartition(":") if rule.count(":") == 1 else (rule, "", "")
    return name, int(port) if port.isascii() and port.isdigit() else None


def _within(host: str, block: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False
