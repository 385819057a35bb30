"""Which errors are sent by themselves, and which are counted and sent as one summary."""
