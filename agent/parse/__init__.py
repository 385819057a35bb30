"""Parsers: bytes and text into values. Pure: no I/O, no clock, no global state."""
