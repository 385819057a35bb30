"""Stack frames in Sentry's form, made from a traceback's text: oldest first, with module, `in_app` and context lines.

Facts: develop.sentry.dev, "Stack Trace Interface"; names and file names are chosen as sentry-sdk chooses them inside the process, so that an
error groups with the same one that was reported from there.
"""

from __future__ import annotations

import builtins
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from agent.issues.envelope.trim import shorten
from agent.issues.event.workload import Workload
from agent.target.program import is_main

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.parse.exceptions import ExceptionInfo, Frame
    from agent.record import Value

CONTEXT_LINES: Final = 5
"""Lines before and after, as sentry-sdk sends them."""
MAX_FRAMES: Final = 500
"""Frames of one exception: sentry-sdk's own bound. Surplus ones are taken from the middle."""
LONGEST_LINE: Final = 1024
LONGEST_NAME: Final = 512
"""Characters of a file's or a function's name."""

MAIN: Final = "__main__"
_PACKAGES: Final = re.compile(r".*[\\/](?:site|dist)-packages[\\/](.*)", re.DOTALL)
_STANDARD: Final = re.compile(r".*[\\/]lib(?:64)?[\\/](?:python|pypy)\d(?:\.\d+)?t?(?:\.zip)?[\\/](?:lib-dynload[\\/])?(.*)", re.DOTALL)
_ON_WINDOWS: Final = re.compile(r"([A-Za-z]:\\.*\\)(?:Lib|DLLs)\\(.*)", re.DOTALL)
_FROZEN: Final = re.compile(r"<frozen ([\w.]+)>")
_CYTHON: Final = (".pyx", ".pxi", ".pxd")
_RUNNERS: Final = frozenset({"runpy"})
_SEPARATORS: Final = re.compile(r"[\\/]")
_LATER_BUILTINS: Final = frozenset({"PythonFinalizationError"})
"""Exceptions of later versions than ours may be."""


class SourceCode(Protocol):
    """The workload's file system, as far as it may be read."""

    def lines(self, path: str, lineno: int, shown: str | None) -> Sequence[str] | None:
        """The lines of a source file, None if it can't be read or is not the code that ran (`shown`: the line as the traceback shows it)."""

    def is_package(self, directory: str) -> bool:
        """Whether a directory holds an `__init__.py`."""


class NoSourceCode:
    """Reads nothing."""

    def lines(self, path: str, lineno: int, shown: str | None) -> Sequence[str] | None:
        """Nothing."""
        del path, lineno, shown
        return None

    def is_package(self, directory: str) -> bool:
        """No."""
        del directory
        return False


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """The options of the encoding, and the workload's surroundings."""

    in_app: tuple[str, ...] = ()
    """Prefixes of paths or modules that are the workload's own; none = all but site-packages and the standard library."""
    sources: SourceCode = field(default_factory=NoSourceCode)
    locals: bool = False
    """Whether local variables may be sent."""
    workload: Workload = field(default_factory=Workload)
    """Its processes."""


def is_library(path: str) -> bool:
    """Whether a file is the standard library's or an installed package's."""
    return path.startswith("<frozen ") or _in_library(path) is not None


def _in_library(path: str) -> str | None:
    """The place of a library's file in its library, None for any other file; packages lie below the standard library."""
    library = _PACKAGES.match(path) or _STANDARD.match(path)
    if library:
        return library[1]
    library = _ON_WINDOWS.match(path)
    return library[2] if library and "python" in library[1].lower() else None


def is_in_app(path: str, module: str, prefixes: Sequence[str]) -> bool:
    """Whether a frame is the workload's own code: of what lies below a prefix all but a virtual environment's libraries."""
    if not prefixes:
        return not is_library(path)
    below = any(path.startswith(prefix) and not is_library(path[len(prefix) :]) for prefix in prefixes)
    return below or any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def encode_frames(frames: Sequence[Frame], options: EncodeOptions, main: Sequence[str] = ()) -> list[Value]:
    """All frames of an exception; those that CPython folded ("Previous line repeated") are unfolded.

    `main` is where the main program may lie, if that is known: a stack need not go down to it.
    """
    below = main_file(frames)
    unfolded: list[Value] = []
    for frame in frames:
        encoded = encode_frame(frame, options, in_main=frame.filename == below or is_main(frame.filename, main))
        unfolded += [encoded] * (1 + min(frame.repeated, 2 * MAX_FRAMES))
    return shorten(unfolded, MAX_FRAMES)


def main_file(frames: Sequence[Frame]) -> str | None:
    """The file that ran as `__main__`, if the stack goes down to it."""
    below = [frame for frame in frames if _FROZEN.fullmatch(frame.filename) is None and module_of_library(frame.filename) not in _RUNNERS]
    return below[0].filename if below and below[0].function == "<module>" else None


def encode_frame(frame: Frame, options: EncodeOptions, *, in_main: bool = False) -> dict[str, Value]:
    """One frame."""
    module = MAIN if in_main else module_of_compiled(frame) or module_of(frame.filename, options.sources)
    encoded: dict[str, Value] = {
        "filename": short_name(frame.filename, module)[-LONGEST_NAME:],
        "abs_path": frame.filename[-LONGEST_NAME:],
        "function": frame.function[:LONGEST_NAME] or "<unknown>",
        "module": module[-LONGEST_NAME:] or None,
        "lineno": frame.lineno,
        "in_app": is_in_app(frame.filename, module, options.in_app),
        **_context(frame, options.sources),
    }
    if options.locals and frame.locals:
        encoded["vars"] = dict(frame.locals)
    return {key: value for key, value in encoded.items() if value is not None}


def _context(frame: Frame, sources: SourceCode) -> dict[str, Value]:
    """The lines around, from the file if it is the code that ran; else the one line that the traceback shows."""
    lines = sources.lines(frame.filename, frame.lineno, frame.source_line) if frame.lineno else None
    if not lines or not frame.lineno or frame.lineno > len(lines):
        return {} if frame.source_line is None else {"context_line": frame.source_line[:LONGEST_LINE]}
    at = frame.lineno - 1
    return {
        "pre_context": [line[:LONGEST_LINE] for line in lines[max(0, at - CONTEXT_LINES) : at]],
        "context_line": lines[at][:LONGEST_LINE],
        "post_context": [line[:LONGEST_LINE] for line in lines[at + 1 : at + 1 + CONTEXT_LINES]],
    }


def module_of_library(path: str) -> str:
    """The dotted name of a library's file, "" for any other."""
    frozen = _FROZEN.fullmatch(path)
    if frozen:
        return frozen[1]
    library = _in_library(path)
    return dotted(library) if library is not None else ""


def module_of_compiled(frame: Frame) -> str:
    """The module of Cython's code, whose functions are printed with their modules, and whose files relative to their packages; "" of any other."""
    path = frame.filename
    if not path.endswith(_CYTHON) or os.path.isabs(path):
        return ""
    named = os.path.splitext(path)[0].replace("/", ".")
    parts = frame.function.split(".")
    classes = (index for index, part in enumerate(parts) if part[:1].isupper())
    return named if frame.function.startswith(f"{named}.") else ".".join(parts[: next(classes, len(parts) - 1)])


def module_of(path: str, sources: SourceCode) -> str:
    """The dotted name a file was most likely imported under; "" if it is not a file."""
    if path in ("<string>", "<stdin>"):
        return MAIN
    found = module_of_library(path)
    if found or path.startswith("<"):
        return found
    directory, name = os.path.split(path)
    if "\\" in name:  # Windows', which is never the file system we can look at
        return dotted(name.rpartition("\\")[2])
    parts = [name]
    while len(parts) < 20 and len(directory) > 1 and sources.is_package(directory):
        directory, name = os.path.split(directory)
        parts.insert(0, name)
    return dotted("/".join(parts))


def dotted(path: str) -> str:
    """`a/b/__init__.py` → `a.b`."""
    return re.sub(r"\.pyc?$", "", path).replace("\\", "/").replace("/", ".").removesuffix(".__init__")


def short_name(path: str, module: str) -> str:
    """The file name relative to where its package lies (sentry-sdk: `filename_for_module`)."""
    if not module or path.startswith("<") or path.endswith(_CYTHON):
        return path
    if "." not in module:
        return _SEPARATORS.split(path)[-1]
    depth = module.count(".") + 1 + path.endswith("__init__.py")
    return "/".join(_SEPARATORS.split(path)[-depth:])


def class_of(error: ExceptionInfo) -> tuple[str, str | None]:
    """Type and module as sentry-sdk names them: builtins have no module, and another type that is printed without one is `__main__`'s.

    A type of the agent's own has the module "", which is left out.
    """
    if error.module is not None or error.type in _LATER_BUILTINS or isinstance(getattr(builtins, error.type, None), type):
        return error.type, error.module or None
    return error.type, MAIN if error.type else None
