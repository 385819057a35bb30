r"""Reports of crashes that runtimes print over several lines: each is one record, whatever stands at the left edge of its lines.

    Go            panic: …   fatal error: …   SIGSEGV: …        the goroutines' stacks, `exit status 2`
    Rust          thread 'main' panicked at src/main.rs:4:5:    the message, `stack backtrace:`, notes
    PHP           PHP Fatal error:  Uncaught …                  `Stack trace:`, `#0 …`, `  thrown in …`
    Node.js       /app/shop.js:3                                the source, the error with its stack, the version
    Java, .NET, C++, Ruby, Elixir, Dart                         an uncaught exception, its stack and causes

Facts: Go's `runtime/panic.go` and `traceback.go`, Rust's `std/src/panicking.rs`, PHP's `main.c`, Node's `node_errors.cc`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from agent.parse.severity import ERROR, FATAL, INFO, WARN


class Runtime(NamedTuple):
    """The beginning and the continuation of one kind of report."""

    begins: str
    more: str = r"\s"
    """Any further line; an empty one always may be."""
    severity: int = ERROR
    free: int = 0
    """So many lines below the first belong to it whatever they say."""


_THREAD: Final = r"(?: \(\d{1,10}\))? (?:panicked at |has overflowed its stack)"
_RUST: Final = rf"thread '[^'\n]{{0,256}}'{_THREAD}"
_RUST_MORE: Final = r"\s|note: |stack backtrace:|fatal runtime error: "
_PHP_MORE: Final = r"\s|Stack trace:|#\d{1,4} |Next \S"
_PHP_PLACE: Final = r".* (?:in \S.*? on line \d{1,7}|in \S{1,512}:\d{1,7})$"
_STACK_OF_JAVA: Final = r"\s|Caused by: |Suppressed: "
_RUNTIMES: Final = (
    Runtime(
        r"panic: |fatal error: |runtime: goroutine stack exceeds |unexpected fault address |SIG[A-Z]{2,6}: [a-z]|goroutine \d{1,9} \[[^\]]{1,80}\]:",
        r"\s|goroutine \d|created by |\[signal |\[originating from |runtime stack:|exit status \d|panic: |fatal error: |PC=|SIG[A-Z]{2,6}: |\.\.\.additional frames"
        r"|(?:rax|rbx|rcx|rdx|rdi|rsi|rbp|rsp|rip|rflags|r\d{1,2}|[cfg]s|lr|sp|pc|fault) +0x|[\w./%*()\[\]{}~,\xc2\xb7-]{1,512}\(.{0,4096}\)$",
        FATAL,
    ),
    Runtime(rf"thread 'main'{_THREAD}.*:$", _RUST_MORE, FATAL, free=1),
    Runtime(rf"thread 'main'{_THREAD}", _RUST_MORE, FATAL),
    Runtime(rf"{_RUST}.*:$", _RUST_MORE, free=1),
    Runtime(_RUST, _RUST_MORE),
    Runtime(rf"(?:PHP )?(?:Fatal|Parse|Recoverable fatal) error: {{1,2}}(?:Uncaught |{_PHP_PLACE})", _PHP_MORE, FATAL),
    Runtime(rf"(?:PHP )?Warning: {{1,2}}{_PHP_PLACE}", _PHP_MORE, WARN),
    Runtime(rf"(?:PHP )?(?:Notice|Deprecated): {{1,2}}{_PHP_PLACE}", _PHP_MORE, INFO),
    Runtime(r"(?:node:|file://|/)\S{1,512}:\d{1,7}$", r"\s|\^|(?:[A-Z]\w*)?(?:Error|Exception)\b|Node\.js v\d|[}\]]", free=1),
    Runtime(r'Exception in thread "', _STACK_OF_JAVA),
    Runtime(r"Unhandled [eE]xception[.:] \S", r"\s"),
    Runtime(r"Unhandled exception:$", r"\s|#\d{1,4} |<asynchronous", free=1),
    Runtime(r"terminate called (?:after throwing|without an active)|libc\+\+abi: ", severity=FATAL),
    Runtime(r"\S{1,512}\.rb:\d{1,7}:in [`'].*\((?:\w+::)*[A-Z]\w*\)$"),
    Runtime(r"\*\* \((?:\w+\.)*\w+\) "),
)  # fmt: skip
_MORE: Final = tuple(re.compile(runtime.more.encode()) for runtime in _RUNTIMES)
_BEGINS: Final = re.compile("|".join(f"({runtime.begins})" for runtime in _RUNTIMES).encode())
FIRST: Final = frozenset(b"pa fa ru un SI go th PH Fa Pa Re Wa No De no fi Ex Un te li **".split())
"""The first two letters of those that do not begin with a path."""


class CrashReport:
    """The lines of one report."""

    def __init__(self, runtime: int) -> None:
        self.over = False
        self.severity = _RUNTIMES[runtime].severity
        self._more = _MORE[runtime]
        self._free = _RUNTIMES[runtime].free

    def takes(self, line: bytes) -> bool:
        """A line of a stack, a cause, a note."""
        if self._free and line:
            self._free -= 1
            return True
        return not line or self._more.match(line) is not None


def report_of(line: bytes) -> CrashReport | None:
    """The report that a line begins."""
    match = _BEGINS.match(line)
    return CrashReport((match.lastindex or 1) - 1) if match else None
