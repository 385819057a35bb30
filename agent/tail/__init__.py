"""Follows files: where a content is now, how far it was read, and what comes next. Bytes and lines only, no records."""
