"""Runs of processes and checks of probes, as sessions and check-ins."""
