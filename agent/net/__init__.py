"""HTTP/1.1 and TLS for everything that calls out: destinations and probes."""
