"""The inputs of the agent: one file per source."""
