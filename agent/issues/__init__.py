"""Errors found in records become what Sentry calls issues: found, read, folded or not, made an event, put into an envelope."""
