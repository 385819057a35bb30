"""Records to bytes: pure functions, one file per wire format."""
