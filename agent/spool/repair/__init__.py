"""A damaged spool: what is found wrong, what is saved of it, and how."""
