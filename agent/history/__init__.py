"""The history store: what was measured or found before, in one small file beside the spool."""
