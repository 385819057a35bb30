"""HTTP/1.1 and TLS: the client of destinations and probes, the server of the agent's pages and of sources that receive requests."""
