"""The host: what stands once for all components, from the wiring of a configuration to the orderly end."""
