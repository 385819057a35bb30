"""From a record to an `ErrorEvent`: which records are errors, and which event each makes. Pure."""
