"""Terminal control around and inside lines: what a terminal shows at last is what is read."""

from __future__ import annotations

import pytest

from agent.parse.formats import PLAIN, detect
from agent.parse.terminal import overwritten, undressed
from tests.support.sentry import records_of


@pytest.mark.parametrize(
    "line",
    [b'\x1b[33m{"a":1}\x1b[0m', b'\x1b[1m\x1b[31m{"a":1}', b'\x1b[31m{"a":1}\x1b[39m\x1b[22m', b'{"a":1}'],
)
def test_an_object_is_read_without_the_colours_around_it(line):
    """A writer that colours whole lines by their level."""
    assert undressed(line) == b'{"a":1}'


@pytest.mark.parametrize("inside", [b'{"a":"}\x1b[0m"}', b'{"a":"\x1b[31m}"} more'])
def test_control_inside_an_object_is_its_own(inside):
    """Only what stands behind its end is taken off."""
    assert undressed(inside) == inside


@pytest.mark.parametrize(
    ("bar", "rest"),
    [
        (b"\r0it [00:00, ?it/s]\r31it [00:02, 14.9it/s]", b"2026-11-22 10:00:00 WARNING shelf: low"),
        (b"\r12.0MB [00:02, 6.1MB/s]\r", b"ERROR: shelf is empty"),
        (b"\r 46%|####6     | 46/100 [00:01<00:01, 30it/s]", b'{"level":"error"}'),
    ],
)
def test_a_record_behind_a_bar_begins_behind_it(bar, rest):
    """With a total and without one, with a carriage return in between and without."""
    assert (bar + rest)[overwritten(bar + rest) :] == rest


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("     ━━━━━━━━━━━━━━━━━━━━━━━ 3.4/3.4 MB 21.7 MB/s eta 0:00:00", None),
        ("   ---------------------------------------- 3.4/3.4 MB 21.7 MB/s eta 0:00:00", None),
        ("     |████████████████████████████████| 3.4 MB 21.7 MB/s", None),
        ("\r     |███▏                            | 340 kB\r     |████████████████████████████████| 3.4 MB", "     |████████████████████████████████| 3.4 MB"),
        ("25/25 [==============================] - 1s 9ms/step - loss: 0.17", None),
        ("25/25 ━━━━━━━━━━━━━━━━━━━━ 1s 9ms/step - loss: 0.17", None),
        (" 1/25 [>.....] - ETA: 9s\b\b\b\r25/25 [======] - 1s 9ms/step", "25/25 [======] - 1s 9ms/step"),
        ("\x1b[1m 1/25\x1b[0m \x1b[37m━━━━━━━━━━\x1b[0m 0s\b\b\r\x1b[1m25/25\x1b[0m \x1b[32m━━━━━━━━━━\x1b[0m 1s", "25/25 ━━━━━━━━━━ 1s"),
        ("shelf.tgz  45%[======>          ]  1.2M  8.1MB/s\rshelf.tgz 100%[================>]  3.4M  8.1MB/s", "shelf.tgz 100%[================>]  3.4M  8.1MB/s"),
        ("9f8e: Downloading [=====>        ]  1.2MB/3.4MB", None),
        ("\r  0  3400    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0\r100  3400  100  3400    0     0  17000      0 --:--:-- --:--:-- --:--:-- 17171",
         "100  3400  100  3400    0     0  17000      0 --:--:-- --:--:-- --:--:-- 17171"),
    ],
)  # fmt: skip
def test_a_bar_is_a_record_of_its_own_as_it_was_shown_at_last(line, shown):
    """Of pip, Keras, wget, Docker and curl; the line before has nothing to do with it, nor has the one behind."""
    first, bar, last = records_of(f"2026-11-22 10:00:00 INFO shop: loading\n{line}\nready to count".encode())

    assert (first.body, bar.body, last.body) == ("loading", shown or line, "ready to count")


@pytest.mark.parametrize(
    "line",
    [
        "[==] is a border",
        "3/4 [of the shelf]",
        "---------------- end of the shelf",
        "1/2 cups",
        "  - item: 3",
        "[ OK ] Started",
        "[=]",
        "[==========] 3 tests ran",
    ],
)
def test_what_is_drawn_otherwise_is_no_bar(line):
    """Borders, fractions, lists."""
    assert detect(line.encode()) is PLAIN
