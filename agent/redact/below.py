"""Values that stand on the lines below their names, where a format says so: YAML's blocks, forms in parts, XML, PHP's dumps, pydantic's errors.

Only for text that is not program source, where `password = (` at the end of a line does not concern the next one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.redact.named import Named

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME: Final = r"[\w\x80-\x{10FFFF}][\w\x80-\x{10FFFF}.-]*"
_END: Final = r"(?:\r?\n|\\r\\n|\\n)"
PATTERNS: Final = (
    Named(rf"""(?i)\bname=\\*["']?({_NAME})\\*["']?(?:;[^\r\n\\]*)?{_END}(?:[\w-]+:[^\r\n\\]*{_END})*{_END}([^\r\n\\]+)"""),
    Named(rf"""\[["']?({_NAME})["']?(?:\]|:[^\]\n]*\])=>\n[ \t]*string\(\d+\) "([^"\n]*)"""),
    Named(rf"<(?:[\w.-]+:)?({_NAME})(?:[ \t][^<>\n]*)?>[ \t]*\r?\n[ \t]*([^<>\s](?:[^<>\n]*[^<>\s])?)[ \t]*(?:(?:\r?\n[ \t]*)?</|\s*\z)"),
    Named(rf"""(?m)^[ \t]*({_NAME})\n[ \t]+[^\n]*\[type=[^\n]*?\binput_value=(?:'([^'\n]*)|"([^"\n]*)|([^\s,\]]+))"""),
    Named(rf"""\bname:[ \t]*["']?({_NAME})["']?[ \t]*\n[ \t]*value:[ \t]*(?:"([^"\n]*)|'([^'\n]*)|([^\s"']+))"""),
    Named(r"(?im)\b(password)\b[^\n=]{0,80}:[ \t]*\n\s*([^\s:]{8,})[ \t]*$", least=8),
    Named(rf"""(?m)^[ \t]*Property: ({_NAME})\n[ \t]*Value: (?:"([^"\n]*)|([^"\s]+))"""),
)
"""The name as the first group, the value as the last one that takes part."""
_BLOCK: Final = re.compile(r"""^([ \t]*(?:- )*)["']?([\w.-]+)["']?:[ \t]*[|>][+\d-]*[ \t]*$""")


def without_blocks(text: str, is_secret: Callable[[str], bool], replacement: str) -> tuple[str, int]:
    """The text without YAML's block scalars under a secret's name, and how many they were. A block ends before the line that is not indented deeper."""
    lines: list[str] = []
    margin, found = -1, 0
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip())
        if margin >= 0 and (depth > margin or not line.strip()):
            if lines[-1].strip() != replacement and line.strip():
                lines.append(line[:depth] + replacement)
            continue
        header = _BLOCK.match(line)
        margin = len(header[1]) if header and is_secret(header[2]) else -1
        found += margin >= 0
        lines.append(line)
    return "\n".join(lines), found
