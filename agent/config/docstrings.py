"""The docstrings below a model's options. Read from the source only when a schema or a reference is made: a running agent needs none.

(pydantic's `use_attribute_docstrings` would parse every module again at each start: 60 ms, and memory that does not come back.)
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def attribute_docstrings(cls: type) -> dict[str, str]:
    """Name → the string literal that follows the name's annotation in the class body (PEP 257), own ones over inherited ones."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("agent.") or base is cls:
            found |= dict(_own(base))
    return found


def _own(cls: type) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):  # no source at hand: a component without descriptions is still a component
        return
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for option, text in pairwise(body):
        if not isinstance(option, ast.AnnAssign) or not isinstance(option.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            yield option.target.id, inspect.cleandoc(text.value.value)
