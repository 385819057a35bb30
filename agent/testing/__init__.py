"""Fakes and the conformance suite, shipped for those who write components."""
