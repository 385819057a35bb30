"""Helpers that run the agent and its peers as processes, for several suites."""
