"""Lines that the interpreter, its libraries and servers print before a report of an exception: each begins a report of its own.

Facts: `threading.py`, `asyncio/base_events.py`, `logging/__init__.py`, `multiprocessing/process.py`, `tkinter/__init__.py`, `pythonrun.c`,
`errors.c` and `traceback.c` of CPython 3.8 to 3.14.
"""

from __future__ import annotations

import re
from typing import Final

THREAD: Final = "Exception in thread "
_JAVA: Final = f'{THREAD}"'
"""Java's virtual machine quotes the thread's name, and continues with a stack of its own."""
LOGGING: Final = "--- Logging error ---"
_DEATHS: Final = ("Fatal Python error: ", "Windows fatal exception: ", "Timeout (")
_STARTS: Final = (
    THREAD,
    "Exception ignored ",
    "Exception in callback ",
    "Exception in Tkinter callback",
    "Exception in default exception handler",
    "Task exception was never retrieved",
    "Future exception was never retrieved",
    "Unhandled exception in ",
    "Unhandled error in Deferred",
    "Error in sys.excepthook:",
    "Error in atexit._run_exitfuncs:",
    "Original exception was:",
    LOGGING,
)
_LOOP: Final = tuple(f"{kind}: <" for kind in ("future", "handle", "task", "protocol", "transport"))
"""How asyncio goes on in the message of its logger."""
OPENINGS: Final = tuple(start.encode() for start in (*_STARTS, *_DEATHS, *_LOOP, "Process "))
"""The characters that such a line begins with."""
_FIRST: Final = frozenset(start[0] for start in (*_STARTS, *_DEATHS, "Process", "Current", "Stack"))
_PROCESS: Final = re.compile(r"Process \S+:")
_DEATH: Final = re.compile(r"Fatal Python error: |Windows fatal exception: |Timeout \(\d+:[\d:.]+\)!")
_STACKS: Final = re.compile(r"(?:Current thread|Thread|Stack) .*\(most recent call first\):")


def announces(line: str) -> bool:
    """Whether a line says that an exception follows, which the text that is open has nothing to do with."""
    return line[:1] in _FIRST and (line.startswith(_STARTS) or _PROCESS.fullmatch(line) is not None) and not line.startswith(_JAVA)


def announces_death(line: str) -> bool:
    """Whether a line begins what an interpreter says at its death, or at a timeout."""
    return line[:1] in _FIRST and _DEATH.match(line) is not None


def announces_stacks(line: str) -> bool:
    """Whether a line begins the stack of a thread, which is a report of its own where no other one is open."""
    return line[:1] in _FIRST and _STACKS.match(line) is not None


def is_loop_context(line: str) -> bool:
    """Whether a line says which task or handle of an event loop an exception is from."""
    return line.startswith(_LOOP)


def is_torn(line: str) -> bool:
    """Whether two threads that die together have written into one another's announcement: the rest is not a beginning."""
    return line.startswith(THREAD) and (not line.endswith(":") or line[len(THREAD) :].isspace())
