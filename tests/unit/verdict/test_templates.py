"""Which parts of a message are values."""

from __future__ import annotations

import pytest

from agent.verdict.templates import parametrise

TEXTS = {
    "order failed symbol=BTC venue='new york' id=7": "order failed symbol=%s venue=%s id=%s",
    'rejected reason="no margin", again': "rejected reason=%s, again",
    "no mail for bob.smith+x@example.co.uk": "no mail for %s",
    "a == b, c=": "a == b, c=",
    "user@host": "user@host",
}


@pytest.mark.parametrize(("text", "template"), TEXTS.items(), ids=TEXTS)
def test_values_behind_an_equals_sign_and_addresses_are_values(text: str, template: str) -> None:
    """What is written as `key=value`, quoted or not, and e-mail addresses vary from record to record; comparisons and names do not."""
    found, values = parametrise(text)
    assert found == template
    assert (found % values if values else found) == text
