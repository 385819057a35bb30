"""Metrics of several kinds of probes, named as in blackbox_exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.metrics import Kind, Metric, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.net.tls import TlsInfo

DNS_TIME: Final = Metric("probe_dns_lookup_time_seconds", Kind.GAUGE, "s", "How long the name's lookup took.")
IP_PROTOCOL: Final = Metric("probe_ip_protocol", Kind.GAUGE, "", "Version of IP that was used: 4 or 6.")
EXPIRY: Final = Metric(
    "probe_ssl_earliest_cert_expiry", Kind.GAUGE, "", "When the server's certificate expires, seconds since the Unix epoch."
)
TLS_VERSION: Final = Metric("probe_tls_version_info", Kind.GAUGE, "", "The TLS version that was used, as its label.")
FAILED_BY_REGEX: Final = Metric("probe_failed_due_to_regex", Kind.GAUGE, "", "Whether the probe failed because of a pattern.")


def tls_figures(tls: TlsInfo) -> Iterable[Observation]:
    """Return the version of TLS and the expiry of the certificate."""
    yield Observation(TLS_VERSION, 1, {"version": tls.version})
    if tls.not_after is not None:
        yield Observation(EXPIRY, tls.not_after)
