"""The real agent with a seeded bug: `python -m tests.torture.buggy_agent BUG run`; the bug `none` is the agent as it is."""

from __future__ import annotations

import os
import sys

from agent.cli import main
from tests.torture.bugs import BUGS, narrow_spool, refuse_commits

REFUSE = "TORTURE_REFUSE"
"""Environment variable: every so many batches one is not taken by the disk."""
NARROW = "TORTURE_NARROW"
"""Environment variable: a batch that takes more bytes than this is one that never fits."""

if __name__ == "__main__":
    if os.environ.get(REFUSE):
        refuse_commits(int(os.environ[REFUSE]))
    if os.environ.get(NARROW):
        narrow_spool(int(os.environ[NARROW]))
    bug = sys.argv.pop(1)
    if bug != "none":
        BUGS[bug].apply()
    main()
