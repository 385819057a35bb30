"""What the agent looks at: one file per kind of probe."""
