"""Which addresses only this machine reaches, which names it answers to, and which addresses may be looked at. Pure decisions."""

from __future__ import annotations

import ipaddress
from typing import Final

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA: Final = frozenset({"169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"})
"""Where clouds hand out credentials to whoever asks from inside: AWS and most others, Alibaba, Azure, AWS over v6, Google over v6."""


def is_loopback(host: str) -> bool:
    """Whether a listener on `host` (a name or an address) can be reached from this machine only."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _parse(host)
    return address is not None and address.is_loopback


def host_allowed(host: str, *, loopback: bool) -> bool:
    """Whether a request's `Host` header is one that an honest client sends.

    A web page can make a browser on this machine call a loopback server under a name of its own (DNS rebinding), and read the answer: on
    loopback only addresses and `localhost` are answered.
    """
    if not loopback or not host:
        return True
    name = host.rpartition(":")[0] if _has_port(host) else host
    return name.rstrip(".") == "localhost" or name.endswith(".localhost") or _parse(name.strip("[]")) is not None


def probe_objection(address: str, *, allow_link_local: bool) -> str | None:
    """Why a probe must not connect to the resolved IP address, or None."""
    if allow_link_local:
        return None
    ip = _parse(address)
    if ip is None:
        return f"{address} is not an IP address"
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or str(ip) in METADATA:
        return f"{ip} is a link-local or metadata address: probes do not go there unless `allow_link_local: true` is written"
    return None


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and (host.count(":") == 1 or "]:" in host)


def _parse(host: str) -> _Ip | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
