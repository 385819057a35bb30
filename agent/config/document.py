"""A YAML 1.2 file as a `Tree`: every key and value with its line and column, references substituted, nothing executed.

Works on the composed nodes rather than on constructed objects: only they know all places, and all duplicate keys at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from agent.config.interpolate import substitute
from agent.config.tree import Data, Fault, Place, Route, Tree, dotted

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_NODES: Final = 20_000
"""Aliases can blow a small file up; no configuration is larger."""
DEEPEST: Final = 40

_CORE: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(_CORE + name for name in ("null", "bool", "int", "float", "str", "timestamp", "merge", "value"))
_TOKEN: Final = re.compile(r"\('(<[^>]*>)',\)")
"""A token in the parser's words."""
_COLLECTIONS: Final = frozenset({_CORE + "map", _CORE + "seq"})


def parse(text: bytes, source: str, env: Mapping[str, str]) -> Tree:
    """Read one document. Whatever is wrong is in the tree's `faults`; what is right is in its data."""
    tree = Tree(source)
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text.decode())
    except UnicodeDecodeError as error:
        place = _place_after(text[: error.start].decode(), source)
        tree.faults.append(Fault(place, "", "is not UTF-8 text", "save the file as UTF-8"))
    except ReaderError as error:
        characters = text.decode()
        place = _place_after(characters[: error.position], source)
        fix = "remove it, or write it as an escape in double quotes"
        tree.faults.append(Fault(place, "", f"is not YAML: the character {characters[error.position]!r} is not allowed", fix))
    except MarkedYAMLError as error:
        tree.faults.append(_syntax_fault(error, source))
    except (YAMLError, RecursionError) as error:
        what = "is nested too deeply" if isinstance(error, RecursionError) else f"is not YAML: {_one_line(str(error))}"
        tree.faults.append(Fault(Place(source, 1, 1), "", what, "check indentation, quotes and colons; see the example in the README"))
    else:
        _fill(tree, root, yaml, env)
    return tree


def _fill(tree: Tree, root: Node | None, yaml: YAML, env: Mapping[str, str]) -> None:
    if root is None:
        return
    reader = _Reader(tree, yaml, env)
    data = reader.value(root, ())
    if reader.stopped:
        return
    if isinstance(data, dict):
        tree.data.update(data)
    elif data is not None:
        tree.faults.append(Fault(_place(tree, root), "", "the file must be a mapping", "write options as `key: value`"))


class _Reader:
    """Turns nodes into values, noting places on the way."""

    def __init__(self, tree: Tree, yaml: YAML, env: Mapping[str, str]) -> None:
        self._tree = tree
        self._yaml = yaml
        self._env = env
        self._left = MOST_NODES
        self.stopped = False

    def value(self, node: Node, route: Route) -> Data:
        self._tree.values[route] = _place(self._tree, node)
        self._left -= 1
        if self._left < 0 or len(route) > DEEPEST:
            return self._too_much(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node, route)
        if node.tag not in _COLLECTIONS:
            return self._foreign_tag(node, route)
        if isinstance(node, MappingNode):
            return self._mapping(node, route)
        return [self.value(item, (*route, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: MappingNode, route: Route) -> Data:
        result: dict[str, Data] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._fault(key_node, route, "a key must be text", "write a name before the colon")
                continue
            key = str(key_node.value)
            here = (*route, key)
            if key_node.tag == _CORE + "merge":
                self._fault(key_node, here, "merge keys are not read", "write the options out; an alias may stand for a value")
                continue
            if key in result:
                first = self._tree.keys[here]
                self._fault(key_node, here, f"the key is already there in line {first.line}", "keep one of the two")
                continue
            self._tree.keys[here] = _place(self._tree, key_node)
            result[key] = self.value(value_node, here)
        return result

    def _scalar(self, node: ScalarNode, route: Route) -> Data:
        if node.tag not in _SCALARS:
            return self._foreign_tag(node, route)
        text, names, problems = substitute(node.value, self._env)
        for problem in problems:
            self._fault(node, route, problem, "set it, or write ${NAME:-default}; $$ is a plain dollar")
        if problems:
            return None
        self._tree.referenced.update(names)
        if names:
            self._tree.texts[route] = text
        if node.style is not None or (node.tag == _CORE + "str" and not names):
            return text
        return self._typed(text, node, route)

    def _typed(self, text: str, node: ScalarNode, route: Route) -> Data:
        """Give a plain scalar the type that YAML gives it."""
        tag = str(self._yaml.resolver.resolve(ScalarNode, text, (True, False)))
        if tag.removeprefix(_CORE) not in ("null", "bool", "int", "float"):
            return text
        plain = ScalarNode(tag, text, node.start_mark, node.end_mark)
        try:
            value: Data = self._yaml.constructor.construct_object(plain)
        except ValueError:  # thousands of digits (Python's integer string conversion limit), or what only looks like a number
            self._fault(node, route, "is not a number that can be used", "write fewer digits, or put it in quotes")
            return None
        return value

    def _foreign_tag(self, node: Node, route: Route) -> Data:
        self._fault(node, route, f"the tag {node.tag} is not allowed", "remove the tag")
        return None

    def _too_much(self, node: Node) -> Data:
        if not self.stopped:
            self._fault(node, (), f"more than {MOST_NODES} values or {DEEPEST} levels", "remove aliases that contain one another")
        self.stopped = True
        self._left = 0
        return None

    def _fault(self, node: Node, route: Route, message: str, fix: str = "") -> None:
        self._tree.faults.append(Fault(_place(self._tree, node), dotted(route), message, fix))


def _place(tree: Tree, node: Node) -> Place:
    return Place(tree.source, node.start_mark.line + 1, node.start_mark.column + 1)


def _syntax_fault(error: MarkedYAMLError, source: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
    what = _one_line(error.problem or error.context or "syntax error")
    if what.startswith("but "):
        what = f"{_one_line(error.context or '')}, {what}"
    what = _TOKEN.sub(r"\1", what)
    return Fault(place, "", f"is not YAML: {what}", _syntax_fix(error, what))


def _syntax_fix(error: MarkedYAMLError, what: str) -> str:
    if r"'\t'" in what:
        return "indent with spaces: YAML takes no tabs there"
    if "another document" in what:
        return "keep one document"
    opened = error.context_mark if "while parsing a flow" in (error.context or "") else None
    closing = f", and close what opens in line {opened.line + 1}" if opened else ""
    return f"check indentation, quotes and colons here{closing}"


def _place_after(before: str, source: str) -> Place:
    """The place of what comes after a text."""
    return Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _one_line(text: str) -> str:
    return " ".join(text.split())
