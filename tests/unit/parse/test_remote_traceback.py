"""The traceback of another process, which an exception carries as its message."""

from __future__ import annotations

import pytest

from agent.parse.remote_traceback import unfold_remote
from agent.parse.traceback import parse_traceback

INNER = (
    "Traceback (most recent call last):\n  File \"/srv/work.py\", line 3, in price\n    return book[symbol]\nKeyError: 'XYZ'\n\n"
    "The above exception was the direct cause of the following exception:\n\n"
    'Traceback (most recent call last):\n  File "/srv/work.py", line 8, in work\n    raise ValueError(symbol) from e\nValueError: XYZ\n'
)
OUTER = (
    "{remote}\n\nThe above exception was the direct cause of the following exception:\n\n"
    'Traceback (most recent call last):\n  File "/srv/main.py", line 12, in <module>\n    future.result()\nValueError: XYZ\n'
)
FORMS = {
    "concurrent.futures.process._RemoteTraceback": 'concurrent.futures.process._RemoteTraceback: \n"""\n{inner}"""',
    "multiprocessing.pool.RemoteTraceback": 'multiprocessing.pool.RemoteTraceback: \n"""\n{inner}"""',
    "billiard.pool.RemoteTraceback": 'billiard.pool.RemoteTraceback: \n"""\n{inner}"""',
    "joblib.externals.loky.process_executor._RemoteTraceback": 'joblib.externals.loky.process_executor._RemoteTraceback: \n"""\n{inner}"""',
    "pebble.common.types.RemoteTraceback": 'pebble.common.types.RemoteTraceback: \n"""\n{inner}"""',
}


@pytest.mark.parametrize(("name", "form"), FORMS.items(), ids=FORMS)
def test_its_stack_becomes_frames(name: str, form: str) -> None:
    """The link has the remote frames and says in one line what was raised there; what it was raised from follows in the chain."""
    told = parse_traceback(OUTER.format(remote=form.format(inner=INNER)))
    assert told is not None
    root = unfold_remote(told)
    remote = root.cause
    assert remote is not None
    assert (remote.qualified, remote.value) == (name, "ValueError: XYZ")
    assert [frame.function for frame in remote.frames] == ["work"]
    assert remote.cause is not None
    assert (remote.cause.type, [frame.function for frame in remote.cause.frames]) == ("KeyError", ["price"])
    assert [frame.function for frame in root.frames] == ["<module>"]


def test_other_messages_stay() -> None:
    """A message that only mentions a traceback, and a text that is none, stay as they are."""
    for value in ("see the Traceback (most recent call last): above", '"""\nTraceback (most recent call last):\n"""', "plain"):
        told = parse_traceback(f'Traceback (most recent call last):\n  File "/a.py", line 1, in f\nValueError: {value}\n')
        assert told is not None
        assert unfold_remote(told) == told
