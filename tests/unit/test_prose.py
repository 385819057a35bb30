"""The prose guide in CONTRIBUTING.md: the phrases that it forbids are found where they stand, and are nowhere."""

from __future__ import annotations

import pytest

from tests.support.prose import ROOT, TOPS, Text, findings, phrases_in


def test_no_text_has_a_forbidden_phrase() -> None:
    """No docstring, comment, message or text of the project has a phrase that the guide forbids."""
    found = findings(ROOT / top for top in TOPS)
    assert found == [], "\n".join(map(str, found))


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
