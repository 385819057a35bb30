"""The last records and samples, kept in memory for the event that wants to show them."""
