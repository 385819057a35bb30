"""The durable middle: rows, positions, cursors and counters in one SQLite file."""
