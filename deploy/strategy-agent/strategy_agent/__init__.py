"""A small, deterministic trading strategy agent with paper brokers of its own.

It exists to be observed: it logs, measures, traces and fails in the ways a real one does.
"""

__version__ = "0.1.0"
