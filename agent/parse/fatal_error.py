"""Reports of faulthandler and of the interpreter's own death: "Fatal Python error: …" and the stacks below it.

Facts: `Python/traceback.c::_Py_DumpTracebackThreads` and `Python/pylifecycle.c::fatal_error` of 3.8 to 3.14. The
stacks are printed most recent call first and are turned round here; the C stack of 3.14 is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.parse.exceptions import FatalError, Frame, ThreadStack
from agent.parse.traceback_tokens import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FRAMES: Final = 100
"""faulthandler prints so many frames of a thread; 3.13 and later do so without a mark that there are more."""

_REASON: Final = re.compile(r"(?:Fatal Python error|Windows fatal exception): (.*)|(Timeout \([^)]*\)!)")
_THREAD: Final = re.compile(
    r"(Current thread|Thread) 0x([0-9a-fA-F]+)(?: \[(.*)\])? \(most recent call first\):"
    r"|Stack \(most recent call first\):"
)
_FRAME: Final = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')
_STATE: Final = "Python runtime state: "
_MODULES: Final = re.compile(r"Extension modules: (.*?)(?: \(total: \d+\))?")


@dataclass(slots=True)
class _Thread:
    current: bool
    ident: str
    name: str
    frames: list[Frame] = field(default_factory=list)
    truncated: bool = False

    def finish(self) -> ThreadStack:
        truncated = self.truncated or len(self.frames) >= MAX_FRAMES
        return ThreadStack(self.ident, self.current, tuple(self.frames[::-1]), self.name, truncated)


@dataclass(slots=True)
class _Report:
    reason: str = ""
    state: str = ""
    modules: tuple[str, ...] = ()
    threads: list[_Thread] = field(default_factory=list)

    def finish(self) -> FatalError | None:
        if not self.reason and not self.threads:
            return None
        stacks = tuple(thread.finish() for thread in self.threads)
        return FatalError(self.reason, stacks, self.state, self.modules)


def parse_fatal_error(text: str) -> FatalError | None:
    """The first report in `text`, None if there is none. `reason` is "" for a dump without a cause."""
    report = _Report()
    in_stack = False
    for line in _relevant(text):
        if _REASON.fullmatch(line) and (report.reason or report.threads):
            break
        in_stack = _take(report, line, in_stack)
    return report.finish()


def _relevant(text: str) -> Iterator[str]:
    """The lines from the first mark on."""
    if "(most recent call first)" not in text and "Fatal Python error: " not in text and "fatal exc" not in text:
        return
    yield from map(clean, text.split("\n"))


def _take(report: _Report, line: str, in_stack: bool) -> bool:
    """Add what a line tells; whether the next one may be a frame of the newest thread."""
    if in_stack and line[:2] == "  ":
        _take_frame(report.threads[-1], line)
        return True
    thread = _THREAD.fullmatch(line)
    if thread:
        report.threads.append(_Thread(thread[1] != "Thread", thread[2] or "", thread[3] or ""))
        return True
    _take_fact(report, line)
    return False


def _take_frame(thread: _Thread, line: str) -> None:
    match = _FRAME.fullmatch(line)
    if match:
        lineno = None if match[2] == "???" else int(match[2][:18])
        thread.frames.append(Frame(match[1], lineno, match[3]))
    thread.truncated |= line == "  ..." or line.startswith("  <truncated")


def _take_fact(report: _Report, line: str) -> None:
    reason = _REASON.fullmatch(line)
    modules = _MODULES.fullmatch(line)
    if reason:
        report.reason = reason[1] or reason[2]
    elif line.startswith(_STATE) and report.reason:
        report.state = line.removeprefix(_STATE)
    elif modules and (report.reason or report.threads):
        report.modules = tuple(modules[1].split(", "))
