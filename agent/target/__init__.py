"""The observed process: finding it, reading it, adding it up. What the samplers that look at it share."""
