"""Kills, rotations and a bad server against an oracle that is never faulted."""
