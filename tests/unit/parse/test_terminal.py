"""Terminal control around and inside lines: what a terminal shows at last is what is read."""

from __future__ import annotations

import pytest

from agent.parse.terminal import overwritten, undressed


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
