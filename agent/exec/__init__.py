"""`outrider exec`: a command, its output on the way through, its signals, its end; also where the agent can't run."""
