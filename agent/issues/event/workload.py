"""The workload's surroundings: interpreter, operating system, machine, installed distributions, command line.

Read from `/proc` and below the roots of the workload's processes, when an event is made; without a process only the frames' paths are used.
Bounded, and cached as long as a directory does not change.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from agent.target.program import UNKNOWN
from agent.target.roots import open_directory, open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.record import Value
    from agent.target.program import Program
    from agent.target.roots import Root

MAX_DISTRIBUTIONS: Final = 500
MAX_ENTRIES: Final = 4096
"""Entries of a directory that are read."""
MAX_DIRECTORIES: Final = 4
"""Directories that distributions are looked for in."""
MAX_LISTINGS: Final = 16
"""Directories whose distributions are remembered."""
MAX_FILE: Final = 16 * 1024
LONGEST_COMMAND: Final = 2048
_SITE: Final = re.compile(r"(?P<prefix>.*)/lib(?:64)?/(?P<name>python|pypy)(?P<version>\d(?:\.\d+)?)t?/(?:(?:site|dist)-packages/)?")
_PACKAGES: Final = re.compile(r"(.*/(?:site|dist)-packages)/")
_DISTRIBUTION: Final = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-/]+?)(?:-py\d[^/]*)?\.(?:dist|egg)-info")
_VENV: Final = re.compile(r"^version(?:_info)? *= *(\d+\.\d+\.\d+)", re.MULTILINE)
_HEADER: Final = re.compile(r'^#define PY_VERSION +"(\d+\.\d+\.\d+[^"]*)"', re.MULTILINE)
_RELEASE: Final = re.compile(r"""^(?P<key>ID|VERSION_ID|PRETTY_NAME)=["']?(?P<value>[^"'\n]*)""", re.MULTILINE)
_NAMES: Final = {"python": "CPython", "pypy": "PyPy"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The fields of an event that describe the workload."""

    contexts: Mapping[str, Value] = field(default_factory=dict)
    """Sentry's `runtime`, `os` and `device`."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Distribution → version."""
    command: str = ""
    main: tuple[str, ...] = ()
    """Where the main program may lie (`agent.target.program`)."""


class Workload:
    """Reads the surroundings of the workload's processes."""

    def __init__(self, roots: Callable[[], Sequence[Root]] = tuple, clean: Callable[[str], str] = str) -> None:
        """`roots` of the processes, the latest first; `clean` takes secrets out of a text."""
        self._roots = roots
        self._clean = clean
        self._listings: OrderedDict[tuple[int, int, int], Mapping[str, str]] = OrderedDict()

    def look(self) -> None:
        """Read what the processes run, before they end."""
        for root in self._roots():
            root.look()

    def around(self, paths: Iterable[str]) -> Surroundings:
        """The present surroundings, for an error whose frames are in these files."""
        roots = self._roots()
        root = roots[0] if roots else None
        program = root.look() if root else UNKNOWN
        places = [found for path in paths if (found := _SITE.match(path))]
        runtime = self._runtime(root, program, places)
        contexts: dict[str, Value] = {"runtime": runtime} if runtime else {}
        if root is not None:
            contexts |= {"os": _system(root), "device": _device()}
        modules = self._modules(root, program, paths, str(runtime.get("version", ""))) if root else {}
        command = self._clean(shlex.join(program.command))[:LONGEST_COMMAND]
        return Surroundings(contexts, modules, command, program.main)

    def _runtime(self, root: Root | None, program: Program, places: Sequence[re.Match[str]]) -> dict[str, Value]:
        """The interpreter: by the executable's name or where the standard library lies; its exact version where a file beside it has it."""
        found = [(one["name"], one["version"] or "") for one in (program.python, *places) if one]
        if not found:
            return {}
        name = found[0][0]
        version = max((version for other, version in found if other == name), key=len)
        prefix = PurePosixPath(program.executable).parent.parent
        files = [
            *((f"{place['prefix']}/pyvenv.cfg", _VENV) for place in places),
            (f"{prefix}/include/python{version}/patchlevel.h", _HEADER),
        ]
        exact = [known[1] for path, wanted in files if root and (known := wanted.search(read_text(root, path)))]
        return {"name": _NAMES[name], "version": next((one for one in exact if one.startswith(version)), version)}

    def _modules(self, root: Root, program: Program, paths: Iterable[str], version: str) -> Mapping[str, str]:
        """The distributions in the directories of the frames; where no frame lies in one, in that of the interpreter, as it was called.

        An interpreter that was called by its bare name may be a virtual environment's: then only the frames say which one.
        """
        modules: dict[str, str] = {}
        for directory in islice(dict.fromkeys(found[1] for path in paths if (found := _PACKAGES.match(path))), MAX_DIRECTORIES):
            modules = {**self._distributions(root, directory), **modules}
        called = next(iter(program.command), "")
        if not modules and program.python and "/" in called:
            prefix = PurePosixPath(os.path.normpath(PurePosixPath(program.directory, called))).parent.parent
            short = ".".join(version.split(".")[:2])
            for directory in (f"{prefix}/lib/python{short}/site-packages", f"{prefix}/lib/python3/dist-packages"):
                modules = {**self._distributions(root, directory), **modules}
        return dict(islice(modules.items(), MAX_DISTRIBUTIONS))

    def _distributions(self, root: Root, directory: str) -> Mapping[str, str]:
        try:
            fd = open_directory(root.fd, directory)
        except (OSError, ValueError):
            return {}
        try:
            status = os.fstat(fd)
            key = status.st_dev, status.st_ino, status.st_mtime_ns
            if key not in self._listings:
                self._listings[key] = dict(_named(fd))
            self._listings.move_to_end(key)
            while len(self._listings) > MAX_LISTINGS:
                self._listings.popitem(last=False)
            return self._listings[key]
        finally:
            os.close(fd)


def _named(fd: int) -> Iterable[tuple[str, str]]:
    """The distributions of a directory, by their normalised names."""
    with os.scandir(fd) as entries:
        for entry in islice(entries, MAX_ENTRIES):
            found = _DISTRIBUTION.fullmatch(entry.name)
            if found:
                yield re.sub(r"[-_.]+", "-", found["name"]).lower(), found["version"]


def _system(root: Root) -> dict[str, Value]:
    """The kernel, which the workload shares with us, and its own distribution."""
    release = {found["key"]: found["value"] for found in _RELEASE.finditer(read_text(root, "/etc/os-release"))}
    names = {"distribution_name": "ID", "distribution_version": "VERSION_ID", "distribution_pretty_name": "PRETTY_NAME"}
    return {
        "name": platform.system(),
        "version": platform.release(),
        **{name: release[key] for name, key in names.items() if release.get(key)},
    }


def _device() -> dict[str, Value]:
    return {"arch": platform.machine(), "processor_count": os.cpu_count()}


def read_text(root: Root, path: str) -> str:
    """The beginning of a file; "" if there is none."""
    try:
        fd, _ = open_file(root.fd, path)
    except (OSError, ValueError):
        return ""
    try:
        return os.read(fd, MAX_FILE).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
