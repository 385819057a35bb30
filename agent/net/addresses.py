"""Decisions about hosts and addresses: which of them are loopback, which `Host` headers are honest, which addresses a probe may connect to. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = (
    (ipaddress.ip_network("64:ff9b::/96"), (96,)),
    (ipaddress.ip_network("64:ff9b:1::/48"), (48, 56, 64, 96)),
)
"""Prefixes that a gateway translates to IPv4 (RFC 6052 section 2.1, RFC 8215), and the lengths that a prefix within them may have."""
_BEFORE_IPV4: Final = frozenset({bytes(12), bytes(8) + b"\xff\xff\0\0"})
"""First 12 bytes of an IPv4-compatible (RFC 4291) and of an IPv4-translated address (RFC 2765)."""
_ISATAP: Final = frozenset({b"\0\0\x5e\xfe", b"\2\0\x5e\xfe"})
"""Bytes 8 to 11 of an address that tunnels through IPv4 (RFC 5214 section 6.1)."""

METADATA: Final = frozenset({"169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"})
"""Where clouds give credentials to any process of the machine: AWS and most others, Alibaba, Azure, AWS over v6, Google over v6."""


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) is this machine for itself only: `localhost` and the names below it (RFC 6761 section 6.3), 127.0.0.0/8, ::1."""
    if f".{host.lower().rstrip('.')}".endswith(".localhost"):
        return True
    address = parse_ip(host)
    return address is not None and address.is_loopback


def host_allowed(host: str, *, loopback: bool) -> bool:
    """Whether an honest client sends this `Host` header.

    A web page can make a browser on this machine call a loopback server under a name of its own (DNS rebinding), and read the answer: on
    loopback only addresses and `localhost` are answered.
    """
    if not loopback or not host:
        return True
    name = host.rpartition(":")[0] if _has_port(host) else host
    return name.rstrip(".") == "localhost" or name.endswith(".localhost") or parse_ip(name.strip("[]")) is not None


def bracketed(host: str) -> str:
    """Return a host as it is written before `:port` (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def probe_objection(address: str) -> str | None:
    """Return why a probe must not connect to the resolved IP address, or None."""
    ip = parse_ip(address)
    if ip is None:
        return f"{address} is not an IP address"
    hidden = embedded(ip) if ip.version == 6 else []
    if ip.is_multicast or ip.is_unspecified or any(map(_gives_credentials, (ip, *hidden))):
        return f"{ip} is a link-local or metadata address: probes do not go there unless `allow_link_local: true` is written"
    return None


def _gives_credentials(ip: _Ip) -> bool:
    return ip.is_link_local or str(ip) in METADATA


def embedded(ip: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that a translator or a tunnel may make of an IPv6 address.

    A NAT64 gateway may have a prefix of its operator's own: where the last 32 bits are a metadata address, they count in any address.
    """
    last = ipaddress.IPv4Address(ip.packed[12:])
    known = ip.packed[:12] in _BEFORE_IPV4 or ip.packed[8:12] in _ISATAP or str(last) in METADATA
    translated = [_translated(ip, length) for network, lengths in _NAT64 if ip in network for length in lengths]
    tunnels = [one for one in (ip.sixtofour, *(ip.teredo or ())) if one is not None]
    return [*([last] if known else []), *translated, *tunnels]


def _translated(ip: ipaddress.IPv6Address, length: int) -> ipaddress.IPv4Address:
    """Take the IPv4 address out from behind a prefix of so many bits; byte 8 is never part of it (RFC 6052 section 2.2)."""
    packed, start = (ip.packed, 12) if length == 96 else (ip.packed[:8] + ip.packed[9:], length // 8)
    return ipaddress.IPv4Address(packed[start : start + 4])


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and (host.count(":") == 1 or "]:" in host)


def parse_ip(host: str) -> _Ip | None:
    """Return the address that a host is written as, without its zone, an IPv4-mapped one as IPv4; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
