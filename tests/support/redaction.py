"""Recall and precision of redaction on a corpus of planted secrets, innocent lines and ordinary source.

`make redaction` prints both. Each line goes the way of a file's lines, search over raw bytes included, and what is stored of it is searched:
a secret counts as found if neither half of it is left. A line is exact if nothing else of it was changed.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

from agent.parse.lines import Parser
from agent.record import Origin
from agent.redact.redactor import REDACTED, Redactor

CORPUS = Path(__file__).parents[1] / "golden" / "redaction"
ORIGIN = Origin("corpus")
_MARKED = re.compile("⟦(.*?)⟧")


class Planted(NamedTuple):
    """A line with secrets."""

    kind: str
    text: str
    secrets: tuple[str, ...]
    clean: str
    """The line as it should be afterwards."""


class Outcome(NamedTuple):
    """The result for the corpus."""

    leaked: list[tuple[Planted, str]]
    inexact: list[Planted]
    spoiled: list[str]
    secrets: int
    innocent: int

    @property
    def recall(self) -> float:
        """The part of the secrets that was found."""
        return 1 - len(self.leaked) / self.secrets

    @property
    def precision(self) -> float:
        """The part of what was found that is a secret; a harmless line that was changed is a false find."""
        found = self.secrets - len(self.leaked)
        return found / (found + len(self.spoiled))


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8").replace("·", "").replace("␛", "\x1b")
    return [line.replace("⏎", "\n") for line in text.splitlines() if line.strip() and not line.startswith("# ")]


@cache
def planted() -> tuple[Planted, ...]:
    """All lines with secrets that must be found."""
    return _marked(CORPUS / "secrets.txt")


def _marked(path: Path) -> tuple[Planted, ...]:
    found = []
    for line in _lines(path):
        kind, _, text = line.partition(" | ")
        secrets = tuple(_MARKED.findall(text))
        found.append(Planted(kind, _MARKED.sub(r"\1", text), secrets, _MARKED.sub(REDACTED, text)))
    return tuple(found)


@cache
def known_leaks() -> tuple[Planted, ...]:
    """Lines whose secrets are not found yet."""
    return _marked(CORPUS / "leaks.txt")


@cache
def innocent() -> tuple[str, ...]:
    """All lines without."""
    return tuple(_lines(CORPUS / "innocent.txt"))


@cache
def source() -> tuple[str, ...]:
    """All lines of ordinary programs, queries and manifests."""
    return tuple(line for path in sorted((CORPUS / "source").iterdir()) for line in _lines(path))


def stored(text: str, redactor: Redactor | None = None) -> str:
    """The stored form of lines: bodies and attributes as JSON, after the whole way or, without a redactor, as they were read."""
    parser = Parser()
    lines = [(number, line.encode()) for number, line in enumerate(text.split("\n"))]
    batches = []
    for records, raw in [(parser.parse_chunk(lines, ORIGIN, 0)[0], parser.text), (parser.flush(0), None)]:
        batches += redactor.redact(records, raw)[0] if redactor else records
    return json.dumps([(record.body, record.attributes) for record in batches], ensure_ascii=False, default=str)


def left(secret: str, found: str) -> bool:
    """Whether the secret or half of it is still there."""
    half = max(len(secret) // 2, 7)
    pieces = {secret, secret[:half], secret[-half:]}
    return any(json.dumps(piece, ensure_ascii=False)[1:-1] in found for piece in pieces)


def measure(redactor: Redactor | None = None) -> Outcome:
    """Put the whole corpus through."""
    redactor = redactor or Redactor()
    after = [(one, stored(one.text, redactor)) for one in planted()]
    leaked = [(one, secret) for one, found in after for secret in one.secrets if left(secret, found)]
    inexact = [one for one, found in after if found != stored(one.clean)]
    harmless = [*innocent(), *source()]
    spoiled = [line for line in harmless if stored(line, redactor) != stored(line)]
    return Outcome(leaked, inexact, spoiled, sum(len(one.secrets) for one in planted()), len(harmless))


def main() -> int:
    """Print the figures, by kind, and what is not right; `-v` also prints lines of which more than the secret was changed."""
    outcome = measure()
    totals, missed = Counter[str](), defaultdict[str, int](int)
    for one in planted():
        totals[one.kind] += len(one.secrets)
    for one, _ in outcome.leaked:
        missed[one.kind] += 1
    for kind, total in totals.items():
        print(f"{kind:12} {total - missed[kind]:4} of {total:4} secrets found")
    for one, secret in outcome.leaked:
        print(f"leaked       {one.kind}: {secret}  in  {one.text!r}")
    for line in outcome.spoiled:
        print(f"spoiled      {line!r} → {stored(line, Redactor())}")
    if "-v" in sys.argv:
        for one in outcome.inexact:
            print(f"inexact      {one.text!r} → {stored(one.text, Redactor())}")
    print(f"{len(planted())} lines with {outcome.secrets} secrets, {outcome.innocent} without ({len(source())} of them source)")
    print(
        f"recall {outcome.recall:.4f}  precision {outcome.precision:.4f}  lines exactly right {1 - len(outcome.inexact) / len(planted()):.4f}"
    )
    known = sum(len(one.secrets) for one in known_leaks())
    print(
        f"recall with the {known} secrets in {len(known_leaks())} lines that are known to leak: {1 - (len(outcome.leaked) + known) / (outcome.secrets + known):.4f}"
    )
    return 1 if outcome.leaked or outcome.spoiled else 0


if __name__ == "__main__":
    raise SystemExit(main())
