"""Payment cards: an issuer's prefix, the usual grouping, a right check digit. Sixteen digits alone are an order number more often than not."""

from __future__ import annotations

import re
from typing import Final

from agent.redact.raw import BEGINS

_NUMBER: Final = (
    r"(?:4\d{3}|5[1-5]\d\d|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)|6(?:011|4[4-9]\d|5\d\d)|35(?:2[89]|[3-8]\d)|62\d\d|50\d\d|6(?:304|759|76[1-3]))"
    r"[ .-]?\d{4}[ .-]?\d{4}[ .-]?\d{4}(?:[ .-]?\d{3})?"
    r"|3[47]\d\d[ .-]?(?:\d{6}[ .-]?\d{5}|\d{4}[ .-]?\d{4}[ .-]?\d{3})"
    r"|3(?:0[0-5]|[68]\d)\d[ .-]?\d{6}[ .-]?\d{4}"
)
CARD: Final = rf"(?:^|[^\d.\w-]|\\[nrt])({_NUMBER})(?:$|[^\d\w.-]|[.-](?:$|\D))"
"""A number that may be a card's, as its group."""
HINT: Final = rf"{BEGINS}(?:{_NUMBER})(?:[^0-9a-z]|$)"
_ABOUT_CARDS: Final = re.compile(
    r"(?i)card|\bpan\b|\bcc\b|credit|debit|visa|master|amex|payment|charge|paid|pay\b|carte|karte|tarjeta|карт|卡"
)
_ABOUT_IDS: Final = re.compile(
    r"(?i)(?:\bid|_id|Id|uid|order|invoice|ref(?:erence)?|seq(?:uence)?|offset|ts|time(?:stamp)?|number|no|nr|nonce|key|count|bytes|size|total|trace|span|account|iban|sku|ean|isbn|imei|tracking|snowflake|version|build|serial|phone|tel)[\"'\\]*\s*[=:#]?\s*[\"'\\]*$"
)


def is_card(number: str, before: str) -> bool:
    """Whether a matched number is a card's; `before` is the text that leads to it, which may call it something else."""
    digits = re.sub(r"\D", "", number)
    if not _right_check_digit(digits):
        return False
    near = before[-40:]
    if number == digits and near.endswith("/"):
        return False  # a part of an address
    return number != digits or _ABOUT_CARDS.search(near) is not None or _ABOUT_IDS.search(near) is None


def _right_check_digit(digits: str) -> bool:
    """Luhn's sum (ISO/IEC 7812-1, annex B); one digit repeated is not a card."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    total = sum(int(digit) for digit in digits[::-2]) + sum(number - 9 if number > 9 else number for number in doubled)
    return total % 10 == 0 and len(set(digits)) > 1
