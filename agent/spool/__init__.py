"""The spool: rows, positions, cursors and counters in one SQLite file.

    Spool        `spool.py`     the interface of the event loop, asynchronous
    SpoolThread  `thread.py`    the one thread that owns the file; commits the jobs that have queued up as one group
    SpoolFile    `file.py`      the file: opened again, given room and repaired, so that a write has happened or certainly has not
    Tables       `tables.py`    the open file (`open_file.py`): append, settle, register, each within a transaction
    Database     `database.py`  the connection to SQLite

Each holds the next. Beside them: `operations.py` is the one table of what a person can ask for, `offline.py` a stopped agent's spool,
`maintenance.py` the work between jobs, `repair/` all that concerns a damaged file.
"""
