"""Brokers: a paper venue with real sockets, the client that talks to it, the registry that chooses one."""
