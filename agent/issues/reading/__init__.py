"""From a record to an `ErrorEvent`: which records are errors, and what each tells of. Pure."""
