"""What the agent reads: one file per source."""
