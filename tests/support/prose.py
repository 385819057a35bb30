"""Phrases that the prose guide (CONTRIBUTING.md) forbids, and the places where they are.

`python -m tests.support.prose PATH...` prints `file:line: phrase: suggestion` for each; without a path, for the whole project.

Searched are docstrings, comments and, outside of tests, strings with a blank in them; of Markdown all but code; of YAML and make the comments.
A phrase in backticks or double quotes is quoted, and allowed.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
TOPS = ("agent", "tests", "config", "deploy", "outrider.py", "Makefile", *sorted(one.name for one in ROOT.glob("*.md")))
EXCLUDED = (".venv", "tests/golden", "tests/config", "deploy/strategy-agent")
"""Folders of installed packages and of input data, and a product with rules of its own."""


class Phrase(NamedTuple):
    """One row of the guide's table."""

    pattern: re.Pattern[str]
    suggestion: str


def _row(pattern: str, suggestion: str) -> Phrase:
    return Phrase(re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE), suggestion)


OPENINGS = (_row(r"\A\s*(what|who|whoever|whom)\b", "begin with a noun phrase: `The bytes that …`, `Lines that …`"),)
"""Not at the beginning of a docstring."""

PHRASES = (
    _row(r"\bnobody('s)?\b", "name the actor (`no process`, `no reader`) or use the passive"),
    _row(r"\b(some|any|every)body('s)?\b", "name the actor: `another process`, `a person`, `a client`"),
    _row(r"\bwho(ever|mever)\b", "`a caller that`, `the process that`"),
    _row(r"\b(for|to|by|from|does|than) who\b", "`for a reader that`, `by the process that`"),
    _row(r"\btold\b", "`reported`, `given`, `asked`, `distinguished`, `known by`"),
    _row(r"\btells? (of|apart|nothing|so|itself)\b", "`reports`, `describes`, `distinguishes`"),
    _row(r"\bsays? (of|nothing)\b", "`states`, `reports`, `does not say`"),
    _row(r"\b(is|are|was|were|be|been) said\b", "`is reported`, `is stated`"),
    _row(r"\bknow(s|n)? nothing\b", "`does not know`, `has not seen`"),
    _row(r"\b(hears?|heard)\b", "`receives`, `reads`, `is notified`"),
    _row(r"(?<!there\x20)\b(is|are|was|were|be|been) no (?!longer\b|more\b|less\b|such\b|\w+er\b)", "`is not a valid X`, `is not an X`"),
    _row(r"\b(is|are|was|were|has|it) no more\b(?! than)|\bno more(?=[.,;:)]|\s*\Z)", "`no longer`"),
    _row(r"\bfor want of\b", "`because there is no X`, `without X`"),
    _row(r"\bto be had\b", "`available`"),
    _row(r"\b(has|have|had) (not )?got\b", "`has received`, `has`"),
    _row(r"\bof (ours|theirs|hers|his)\b", "`our X`, `the agent's own X`"),
    _row(r"\bof [A-Z][a-z]+'s(?=[.,;:)]|\s*\Z| that| which| and)", "`a Docker X`, `Docker's X`"),
    _row(r"\b(is|are|was|were) (not )?to be\b", "`must be`, `should be`, or the present tense"),
    _row(r"\b(anew|afresh)\b", "`again`"),
    _row(r"\b(and|of|or) (its|their|the) like\b", "`and similar`"),
    _row(r"\bbut for\b", "`except`"),
    _row(r"\ball the same(?=[.,;:)]|\s*\Z)", "`nevertheless`, `still`, or leave it out"),
    _row(r"\b(is|are|was|were) over(?=[.,;:)]|\s*\Z| (and|or|when|while|now|until)\b)", "`has ended`"),
    _row(r"\bin good order\b", "`cleanly`, `orderly`"),
    _row(r"\bin doubt\b", "`undecided`"),
    _row(r"\b(a|an|the|last|first|next|each|every|one|this|two|few|between|of) looks?\b(?! like)", "`check`, `poll`, `scan`"),
    _row(r"\b(goes|go|went|going) on(?= with\b|[.,;:)]|\s*\Z)", "`continues`"),
    _row(r"\b(without|no) (a )?fault\b", "`without an error`"),
    _row(r"\b(moods?|wish(es|ed)?|obey(s|ed)?|pleased|fears?|patient reader)\b", "the literal word instead of the metaphor"),
    _row(r"\bhow (it|they|he) (does|do)\b", "`its state`"),
    _row(r"\b(thereof|whence|thence|wherein|albeit|lest|hither|thither)\b", "a word in use"),
)
"""Nowhere."""

QUOTED = re.compile(r"`[^`]*`|\"[^\"\n]{1,80}\"")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class Text(NamedTuple):
    """A piece of prose: the line that it begins in, and whether it is a docstring."""

    line: int
    text: str
    docstring: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A forbidden phrase at its place."""

    path: str
    line: int
    phrase: str
    suggestion: str

    def __str__(self) -> str:
        """One line, as compilers print it."""
        return f"{self.path}:{self.line}: {self.phrase!r}: {self.suggestion}"


def _blank(found: re.Match[str]) -> str:
    """Blanks in the place of a quotation; lines stay."""
    return re.sub(r"[^\n]", "\x00", found[0])


def phrases_in(text: Text) -> Iterator[tuple[int, str, str]]:
    """Line, phrase and suggestion of each forbidden phrase."""
    prose = QUOTED.sub(_blank, text.text)
    for row in (*OPENINGS, *PHRASES) if text.docstring else PHRASES:
        for found in row.pattern.finditer(prose):
            start = found.start() + len(found[0]) - len(found[0].lstrip())
            yield text.line + prose.count("\n", 0, start), " ".join(found[0].split()), row.suggestion


def _python(source: str, *, strings: bool) -> Iterator[Text]:
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string.lstrip("#"))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value and (id(node) in docstrings or strings):
            yield Text(node.lineno, node.value, id(node) in docstrings)


def _markdown(source: str) -> Iterator[Text]:
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", CODE_BLOCK.sub(_blank, source)):
        yield Text(line, paragraph)
        line += paragraph.count("\n")


def _commented(source: str) -> Iterator[Text]:
    for number, line in enumerate(source.splitlines(), 1):
        if found := re.search(r"(?:^|\s)#+\s(.*)", line):
            yield Text(number, found[1])


def texts_of(path: Path) -> Iterable[Text]:
    """All prose of a file."""
    source = path.read_text()
    if path.suffix == ".py":
        return _python(source, strings="tests" not in path.relative_to(ROOT).parts)
    return _markdown(source) if path.suffix == ".md" else _commented(source)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files with prose at and below paths."""
    for path in paths:
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for one in found:
            name = one.absolute().relative_to(ROOT).as_posix()
            if (one.suffix in {".py", ".md", ".yaml", ".yml"} or one.name == "Makefile") and not name.startswith(EXCLUDED):
                yield one.resolve()


def findings(paths: Iterable[Path]) -> list[Finding]:
    """All forbidden phrases at and below paths, in the order of files and lines."""
    return sorted(
        Finding(path.relative_to(ROOT).as_posix(), *found) for path in files(paths) for text in texts_of(path) for found in phrases_in(text)
    )


def main() -> None:
    """Print what is found, and its number; exit code 1 if there is any."""
    found = findings([Path(one) for one in sys.argv[1:]] or [ROOT / one for one in TOPS])
    for one in found:
        print(one)
    print(f"{len(found)} phrases", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
