"""Probes: one file for each kind."""
