"""Figures that several kinds of probes have in common, as blackbox_exporter names them."""

from __future__ import annotations

from typing import Final

from agent.metrics import Kind, Metric

DNS_TIME: Final = Metric("probe_dns_lookup_time_seconds", Kind.GAUGE, "s", "How long the name's lookup took.")
IP_PROTOCOL: Final = Metric("probe_ip_protocol", Kind.GAUGE, "", "Version of IP that was used: 4 or 6.")
EXPIRY: Final = Metric(
    "probe_ssl_earliest_cert_expiry", Kind.GAUGE, "", "When the server's certificate expires, seconds since the Unix epoch."
)
TLS_VERSION: Final = Metric("probe_tls_version_info", Kind.GAUGE, "", "The TLS version that was used, as its label.")
FAILED_BY_REGEX: Final = Metric("probe_failed_due_to_regex", Kind.GAUGE, "", "Whether the probe failed because of a pattern.")
