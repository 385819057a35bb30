"""Saves memory: keeps out modules that our dependencies import for features which the agent does not use, or not in every configuration.

Two means. `defer` puts a module into `sys.modules` without executing it; the first access to one of its names executes it (as in PEP 810;
`importlib.util.LazyLoader` would do, but it executes a module that is imported a second time). It breaks nothing. `stand_ins` goes further:
while a package is imported, modules that only its unused parts need are replaced by empty ones.

    TLS (`ssl`, 5 MiB of OpenSSL)                    asyncio imports it      deferred: loaded by the first https endpoint, TLS probe, listener
    HTTP server and client, `email`                  prometheus-client       left out: we serve the page, and push nowhere
    `importlib.metadata` with `zipfile`, `email`     pydantic, for plugins   left out: our models take none, from no package that happens to be there
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from importlib.abc import Loader

NO_PLUGINS: Final[Mapping[str, Callable[..., tuple[()]]]] = {"distributions": lambda **_: (), "entry_points": lambda **_: ()}
"""The functions of `importlib.metadata` that pydantic calls to find plugins: older releases the first, newer ones the second."""
SERVING: Final = ("http.server", "socketserver", "ssl", "urllib.request", "wsgiref.simple_server")
"""Modules that prometheus-client imports to serve its page itself, and to push it."""


class _NoSocket:
    """The type that asyncio checks sockets against: as long as TLS is not loaded, no socket has it."""


TLS: Final[Mapping[str, Mapping[str, object]]] = {"ssl": {"SSLSocket": _NoSocket}, "asyncio.sslproto": {}, "secrets": {}}
"""Modules that load OpenSSL (`secrets` by way of `hmac`; pydantic imports it for random values) → the names that each has until it is executed."""


class _State:
    """The attributes of a module that is not executed yet."""

    def __init__(self, loader: Loader, meanwhile: Mapping[str, object]) -> None:
        self.loader = loader
        self.meanwhile = meanwhile
        self.lock = threading.RLock()
        self.executing = False


class _Deferred(ModuleType):
    """A module that is executed when a name in it is asked for."""

    def __getattr__(self, name: str) -> object:
        state = self.__spec__.loader_state if self.__spec__ else None
        if not isinstance(state, _State) or name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with state.lock:
            if state.executing:  # it asks for a name of its own that it has not yet
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
            if type(self) is _Deferred:  # no other thread was quicker
                _execute(self, state)
        return getattr(self, name)


def _execute(module: ModuleType, state: _State) -> None:
    """If this fails, the next who asks tries again."""
    state.executing = True
    try:
        state.loader.exec_module(module)
    finally:
        state.executing = False
    module.__class__ = ModuleType


class _LaterLoader:
    """Makes a module, and leaves it at that."""

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        state = module.__spec__.loader_state if module.__spec__ else None
        if isinstance(state, _State):
            module.__loader__ = state.loader
            vars(module).update(state.meanwhile)
        module.__class__ = _Deferred


class _Finder:
    """Finds the modules to defer."""

    def __init__(self, deferred: Mapping[str, Mapping[str, object]]) -> None:
        self._deferred = deferred

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in self._deferred else None
        if spec is not None and spec.loader is not None:
            spec.loader_state = _State(spec.loader, self._deferred[name])
            spec.loader = _LaterLoader()  # type: ignore[assignment] # all of a loader that an import asks for
        return spec


def defer(modules: Mapping[str, Mapping[str, object]]) -> None:
    """From now on, modules of these names are executed when a name is asked for that is not among those that they have meanwhile."""
    sys.meta_path.insert(0, _Finder(modules))


@contextmanager
def stand_ins(*names: str, **contents: object) -> Iterator[None]:
    """While the block imports, put an empty module in the place of those of these names that are not in use.

    It holds `contents`; any other name in it is a class that can be inherited from and not be made. What is in use stays what it is.
    """
    former = {name: sys.modules.get(name) for name in names}
    unused = {name: module for name, module in former.items() if module is None or type(module) is _Deferred}
    for name in unused:
        sys.modules[name] = _StandIn(name)
        vars(sys.modules[name]).update(contents)
    try:
        yield
    finally:
        for name, module in unused.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_LeftOut,), {"__module__": self.__name__})


class _LeftOut:
    def __init__(self, *_arguments: object, **_options: object) -> NoReturn:
        raise RuntimeError(f"{type(self).__module__}.{type(self).__qualname__} is left out of this process: see agent/lean.py")


def give_back() -> None:
    """Return what is free of the C library's heap to the system, where the library can (glibc): after a burst, and after the start."""
    import ctypes  # noqa: PLC0415 - the commands do not need it

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
