"""The costs of the agent: measured and reported, never a reason to fail."""
