"""From an `ErrorEvent` to the JSON object that Sentry calls an event."""
