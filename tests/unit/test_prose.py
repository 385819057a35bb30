"""The prose guide in CONTRIBUTING.md: the phrases that it forbids are found where they stand, and become fewer."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.prose import ROOT, TOPS, Text, findings, phrases_in

LEFT = {"agent": 1022, "tests": 833, "texts": 55}
"""How many there may still be: only ever fewer."""


def test_no_more_forbidden_phrases_than_there_were() -> None:
    """The number of forbidden phrases falls and never rises, in each part of the project."""
    found = findings(ROOT / top for top in TOPS)
    parts = Counter(
        "agent" if one.path.startswith(("agent/", "outrider")) else "tests" if one.path.startswith("tests/") else "texts" for one in found
    )
    assert {part: number for part, number in parts.items() if number > LEFT.get(part, 0)} == {}, "\n".join(map(str, found[:40]))


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("A row is no request.", ["is no"]),
        ("There is no request; it is no longer here; it is no larger than a page.", []),
        ("Nobody reads it, and whoever does is told.", ["Nobody", "whoever", "told"]),
        ('The `whoever` option, and "nobody knows" as a quotation.', []),
        ("Waits for want of\n    memory.", ["for want of"]),
        ("A monitor of Sentry's, which costs money. The end of Sentry's patience.", ["of Sentry's"]),
        ("Seconds between two looks at the file. It looks like JSON.", ["two looks"]),
        ("The agent goes on. It goes on the wire.", ["goes on"]),
    ],
)
def test_phrases(text: str, phrases: list[str]) -> None:
    """Forbidden phrases are found, also over the end of a line; quotations and everyday uses of the same words are not."""
    assert [phrase for _, phrase, _ in phrases_in(Text(1, text))] == phrases


def test_openings() -> None:
    """A docstring does not begin with `What`; another text may."""
    assert [phrase for _, phrase, _ in phrases_in(Text(1, "What a source emits.", docstring=True))] == ["What"]
    assert not list(phrases_in(Text(1, "What a source emits.")))


def test_places() -> None:
    """A phrase is listed with the line that it stands in, not the one that its docstring begins in."""
    assert [line for line, _, _ in phrases_in(Text(7, "One.\n\nTwo, told.\n"))] == [9]
