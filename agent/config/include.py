"""`include:` — further files, such as those of a `conf.d`: their lists are joined to the first file's, everything else must be set once."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.config.tree import Data, Fault, Place, Route, Tree, dotted, kind_of
from agent.registry import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

KEY: Final = "include"
_WILD: Final = frozenset("*?[")


def include(tree: Tree, parse: Callable[[bytes, str], Tree]) -> None:
    """Add the files that a tree includes, in the order of their names; the faults of all go into the tree."""
    raw = tree.data.pop(KEY, None)
    patterns = [raw] if isinstance(raw, str) else raw or []
    if not isinstance(patterns, list):
        tree.faults.append(
            Fault(tree.value_place((KEY,)), KEY, f"must be a list of file names, not {kind_of(raw)}", "as in [conf.d/*.yaml]")
        )
        return
    for index, pattern in enumerate(patterns):
        place = tree.value_place((KEY, index))
        if not isinstance(pattern, str):
            tree.faults.append(Fault(place, dotted((KEY, index)), f"must be text, not {kind_of(pattern)}", "as in conf.d/*.yaml"))
            continue
        for name in _matching(tree, pattern, place):
            _add(tree, name, place, parse)


def _matching(tree: Tree, pattern: str, place: Place) -> list[str]:
    """The files of a pattern, relative to the including file. A plain name must exist; a pattern without a match is a warning."""
    whole = str(Path(tree.source).parent / pattern)
    found = sorted(glob.glob(whole, recursive=True))  # noqa: PTH207 - the pattern may be absolute, which Path.glob refuses
    if not found:
        wild = bool(_WILD & set(pattern))
        message = f"no file matches {whole}" if wild else f"no such file: {whole}"
        (tree.warnings if wild else tree.faults).append(Fault(place, KEY, message, "create it or correct the path"))
    return found


def _add(tree: Tree, name: str, place: Place, parse: Callable[[bytes, str], Tree]) -> None:
    try:
        other = parse(Path(name).read_bytes(), name)
    except OSError as error:
        tree.faults.append(Fault(place, KEY, f"{name} cannot be read: {error.strerror}", f"name a file that user {os.geteuid()} may read"))
        return
    if KEY in other.data:
        other.faults.append(Fault(other.key_place((KEY,)), KEY, "an included file includes no others", "include them in the first file"))
        del other.data[KEY]
    moved = _behind(other, tree)
    both = [kind for kind in map(str, Kind) if isinstance(moved.data.get(kind), list) and isinstance(tree.data.get(kind), list | None)]
    lists = {kind: [*_list(tree.data.get(kind)), *_list(moved.data.pop(kind))] for kind in both}
    unused = tree.fill(moved)
    tree.data.update(lists)
    tree.faults.extend(_twice(moved, tree, route) for route in unused)


def _list(value: Data) -> list[Data]:
    return value if isinstance(value, list) else []


def _twice(other: Tree, tree: Tree, route: Route) -> Fault:
    return Fault(other.value_place(route), dotted(route), f"is already set in {tree.value_place(route)}", "set it in one file")


def _behind(other: Tree, tree: Tree) -> Tree:
    """The tree, with its lists' entries numbered as they are once they are appended to those of the other."""
    shift = {str(kind): len(_list(tree.data.get(kind))) for kind in Kind}

    def moved(route: Route) -> Route:
        if len(route) > 1 and isinstance(route[1], int) and route[0] in shift:
            return (route[0], route[1] + shift[str(route[0])], *route[2:])
        return route

    return Tree(
        other.source,
        other.data,
        {moved(route): place for route, place in other.keys.items()},
        {moved(route): place for route, place in other.values.items()},
        {moved(route): text for route, text in other.texts.items()},
        other.referenced,
        other.faults,
        other.warnings,
    )
