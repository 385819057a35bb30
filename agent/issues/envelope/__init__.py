"""Envelopes, their items, the names that Sentry accepts in them, and how they are made smaller."""
