"""Which parts of a message are values."""

from __future__ import annotations

from itertools import combinations

import pytest

from agent.issues.reading.templates import parametrise

TEXTS = {
    "order failed symbol=BTC venue='new york' id=7": "order failed symbol=%s venue=%s id=%s",
    'rejected detail="no margin", again': "rejected detail=%s, again",
    'rejected reason="no margin of 12", error=timeout last_error=E17': 'rejected reason="no margin of %s", error=timeout last_error=%s',
    "rejected order_type=limit type=ioc account='bob' code=EAGAIN": "rejected order_type=%s type=ioc account=%s code=EAGAIN",
    "error=KeyError('price') path=/v1/x err='no answer from 10.0.0.1:80'": "error=KeyError(%s) path=%s err='no answer from %s'",
    "no mail for bob.smith+x@example.co.uk": "no mail for %s",
    "a == b, c=": "a == b, c=",
    "user@host": "user@host",
    "item 'blue shirt' of \"cart\" and `x` isn't there, it's gone": "item %s of %s and %s isn't there, it's gone",
    "account k9 and 7f-xx and Z_12x": "account %s and %s and %s",
    "job 3f2504e0-4f89-11d3-9a0c-0305e82c3301 at 9b1deb4d": "job %s at %s",
    "no route to cache-2.eu.internal:6379, giving up": "no route to %s, giving up",
    "no route to www.example.com.": "no route to %s.",
    "peer fe80::1%eth0 or ::1 or 10.0.0.7:80": "peer %s or %s or %s",
    "card 00:1a:2b:3c:4d:5e": "card %s",
    "can't read /var/lib/app/state.db: gone": "can't read %s: gone",
    "can't read data/prices.csv, ~/x/y, ../z or C:\\tmp\\x.txt": "can't read %s, %s, %s or %s",
    "GET https://api.example.com/v1?x=1. (retry)": "GET %s. (retry)",
    "took 12ms, 1h30m, -3.5 s, 5.3MB, 1,024 KiB, 1.5e-3": "took %s, %s, %s s, %s, %s KiB, %s",
    "disk 93% full at 12:30:05,5": "disk %s%% full at %s,%s",
    "worker-3 lost, Thread-12 too": "worker-%s lost, Thread-%s too",
    "missing ['a', 'b'] of {'a': 1}, <Task pending name='x'>": "missing %s of %s, %s",
    "[Errno 111] refused by shop.tasks.charge": "[Errno %s] refused by shop.tasks.charge",
    "read/write and input/output": "read/write and input/output",
    "wait(30) code:7 #17": "wait(%s) code:%s #%s",
    'level=warn event=cache_miss key=user/7 msg="took 12 ms"': 'level=%s event=cache_miss key=%s msg="took %s ms"',
}
DIFFERENT = (
    "sha256 of the file differs",
    "md5 of the file differs",
    "no utf-8 in the file",
    "no utf-16 in the file",
    "upload to s3 failed",
    "upload to ec2 failed",
    "upload to the shop failed",
    "TLSv1.2 is not offered",
    "TLSv1.3 is not offered",
    "worker-3 ended",
    "consumer-3 ended",
    "Http2Stream is closed",
    "Quic3Stream is closed",
    "p95 is too high",
    "p99 is too high",
    "no such table",
    "no such column",
    "java.io is missing",
    "java.net.Socket is missing",
    "code:7",
    "line:7",
    "connect failed error=timeout host=a",
    "connect failed error=refused host=a",
    "connect failed reason='no route' host=a",
    "connect failed reason='no answer' host=a",
    "event=cache_miss key=7",
    "event=disk_full key=7",
    'level=error msg="no margin"',
    'level=error msg="no market"',
)


@pytest.mark.parametrize(("text", "template"), TEXTS.items(), ids=TEXTS)
def test_what_is_a_value(text: str, template: str) -> None:
    """Numbers, words with digits, quoted text, ids, hosts, addresses, paths, URLs, durations and sizes vary from message to message."""
    found, values = parametrise(text)
    assert found == template
    assert (found % values if values else found) == text


def test_different_problems_stay_apart() -> None:
    """Words, technical terms with digits, and the name before a number stay: no two of these messages have one template."""
    templates = [parametrise(text)[0] for text in DIFFERENT]
    assert [(one, other) for one, other in combinations(templates, 2) if one == other] == []


@pytest.mark.parametrize(
    "texts",
    [
        [f"payment {100 + number} of user u{number} declined" for number in range(12)],
        [f"query took {number}.{number}s on db-{number}.internal" for number in range(12)],
        [f"order 0x{number:x} of 'customer {number}' is late" for number in range(1, 12)],
        [f"can't open /data/{word}/x.csv" for word in ("a", "b-c", "d_e", "2026-01-01")],
        [f"bad row {row!r}" for row in ({"a": 1}, {"b": 2, "c": "x"}, ["x", 1])],
        [f"no answer from {host}" for host in ("api.example.com", "10.1.2.3:443", "[::1]:443"[1:4], "web-7.eu.lan")],
    ],
)
def test_one_statement_is_one_template(texts: list[str]) -> None:
    """Messages of one statement of a program with other values are one template."""
    assert len({parametrise(text)[0] for text in texts}) == 1


@pytest.mark.parametrize("text", ["a.b-" * 500, "1:" * 1000, "/a" * 1000, "'" * 2000, "<" * 2000, "[1," * 600, "a@" * 1000, "a/" * 1000])
def test_hostile_text_is_bounded(text: str) -> None:
    """Text made to be hard is looked at once: the template gives it back."""
    template, values = parametrise(text)
    assert (template % values if values else template) == text[:2048]
