"""The host: the work that all components share, from the wiring of a configuration to the orderly end."""
