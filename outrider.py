"""The `outrider` command: finds its own modules before those that PYTHONPATH names for the workload.

Where that has a module `agent`, or one named like one of our modules or the standard library's, it would be imported instead, and a command of
`exec` would not be started. This module's own name is the only one that a workload must not have.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point."""
    sys.path[:] = own_first(sys.path, os.environ.get("PYTHONPATH", ""), os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib takes long
    from agent.__main__ import main as run  # noqa: PLC0415 - it is found only now

    run()


def own_first(path: list[str], given: str, home: str) -> list[str]:
    """`sys.path` with the directories of PYTHONPATH, which is `given`, at its end, and ours before them: they stay, ours may be installed there."""
    theirs = {os.path.abspath(directory) for directory in given.split(os.pathsep)} if given else set()  # noqa: PTH100
    ours = [directory for directory in path if os.path.abspath(directory) not in theirs]  # noqa: PTH100
    return [*ours, home, *(directory for directory in path if directory not in ours)]


if __name__ == "__main__":
    main()
