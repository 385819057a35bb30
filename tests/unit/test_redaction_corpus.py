"""The corpus of planted secrets, harmless lines and ordinary source: what redaction reaches on it is held."""

from __future__ import annotations

from functools import cache

import pytest

from agent.redact.redactor import Redactor
from tests.support import redaction


@cache
def outcome():
    """The corpus, put through once."""
    return redaction.measure()


def test_the_corpus_is_large_enough_to_mean_something():
    """At least 200 lines with secrets, 200 without, and 100 of ordinary source."""
    assert len(redaction.planted()) >= 200
    assert len(redaction.innocent()) >= 200
    assert len(redaction.source()) >= 100


def test_every_planted_secret_is_found():
    """Neither half of one is in what is stored."""
    assert outcome().leaked == []


@pytest.mark.parametrize("line", redaction.known_leaks(), ids=lambda line: line.text[:40])
def test_what_is_said_to_leak_does(line):
    """The figures count no secret as missed that is found: a line that is mended moves to the corpus."""
    assert any(redaction.left(secret, redaction.stored(line.text, Redactor())) for secret in line.secrets)


def test_no_harmless_line_is_changed():
    """No word is lost because it sounds like a secret, and source stays source."""
    assert outcome().spoiled == []


def test_mostly_nothing_but_the_secret_goes():
    """Of nine lines in ten everything else stays; a header of credentials or a private key goes as a whole."""
    assert len(outcome().inexact) <= len(redaction.planted()) // 10


@pytest.mark.parametrize("mode", ["kept", "dropped"])
def test_the_measure_sees_a_redactor_that_does_nothing_and_one_that_drops_everything(mode):
    """A figure that can't be wrong would show nothing."""

    class Broken:
        def redact(self, records, _raw):
            changed = [record._replace(body="gone", attributes={}) for record in records] if mode == "dropped" else records
            return changed, {}

    found = redaction.measure(Broken())

    assert (found.recall > 0.9) is (mode == "dropped")
    assert bool(found.spoiled) is (mode == "dropped")
