"""Files that can't be read are reported once, grouped, with what to do."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from agent.tail.discover import survey
from agent.tail.names import printable
from agent.tail.unreadable import DIRECTORY, NOT_REGULAR, PathGroup, Refusal, Unreadable, groups, sentences
from tests.support.tail_rig import Rig

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DENIED = os.strerror(errno.EACCES)


def append(path: Path, text: str) -> None:
    """Write a line."""
    with path.open("a") as file:
        file.write(f"{text}\n")


def test_each_path_is_new_once(tmp_path):
    """However often a path is refused it is new once; when it was readable in between it is new again."""
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    refused = Unreadable()
    for _ in range(3):
        refused.note(str(tmp_path / "a"), "unreadable", DENIED)
        refused.note(str(tmp_path / "b"), "unreadable", DENIED)
    assert refused.take_new() == [PathGroup(Refusal("unreadable", DENIED), str(tmp_path / "a"), 2)]
    assert refused.take_new() == []
    refused.clear(str(tmp_path / "a"))
    refused.note(str(tmp_path / "a"), "unreadable", DENIED)
    assert [group.number for group in refused.take_new()] == [1]
    assert [group.number for group in refused.groups()] == [2]


def test_what_is_gone_is_forgotten(tmp_path):
    """A path that does not exist any more is not reported."""
    refused = Unreadable()
    refused.note(str(tmp_path / "gone"), "unreadable", DENIED)
    assert refused.groups() == []


def test_sentences():
    """One sentence for each reason names a path, how many there are, why, and what to do."""
    found = groups(
        {
            "/var/log/b.log": Refusal("unreadable", DENIED),
            "/var/log/a.log": Refusal("unreadable", DENIED),
            "/var/log/app": Refusal(DIRECTORY, DENIED),
            "/var/log/io.log": Refusal("unreadable", "Input/output error"),
            "/var/log/link.log": Refusal("not_regular", "links to /srv/x.log, outside of the allowed directories"),
            "/var/log/pipe": Refusal("not_regular", NOT_REGULAR),
        }
    )
    user = f"let user {os.geteuid()}"
    assert sentences(found) == [
        f"2 files can't be read, such as /var/log/a.log: Permission denied; {user} read it, or leave it out with `exclude`",
        f"the directory /var/log/app can't be read: Permission denied; {user} search and read it, or leave it out with `exclude`",
        "the file /var/log/io.log can't be read: Input/output error",
        (
            "the file /var/log/link.log can't be read: links to /srv/x.log, outside of the allowed directories; name that directory in "
            "`allowed_roots`, or leave the link out with `exclude`"
        ),
    ]


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the kernel refuse to open these names, for a user who is not root."""
    real_open, real_scandir = os.open, os.scandir

    def opened(path, *args, **options):
        if os.path.basename(path) in names:
            raise PermissionError(errno.EACCES, DENIED, path)
        return real_open(path, *args, **options)

    def scanned(path):
        if os.path.basename(path) in names:
            raise PermissionError(errno.EACCES, DENIED, path)
        return real_scandir(path)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "scandir", scanned)


def test_an_unreadable_file_is_reported_once(tmp_path, monkeypatch):
    """Looks at a file that we may not open are one event; it is read whole once we may, and then nothing is in the way."""
    append(tmp_path / "a.log", "1")
    append(tmp_path / "b.log", "2")
    one = Rig(tmp_path)
    with monkeypatch.context() as patch:
        refuse(patch, "b.log")
        assert one.drain() == ["1"]
        for _ in range(50):
            one.step(1.0)
        assert one.events.count("unreadable") == 1
        assert [group.first for group in one.tail.table.unreadable.groups()] == [str(tmp_path / "b.log")]
        assert one.tail.unmatched() == []
    one.step(60.0)  # the longest that a file which can't be read is left alone
    one.drain()
    assert one.bodies() == ["1", "2"]
    assert one.tail.table.unreadable.groups() == []
    one.tail.close()


def test_an_unreadable_directory_is_reported(tmp_path, monkeypatch):
    """A directory that a glob goes through and that we may not read is one event, and its files are read once we may."""
    (tmp_path / "app").mkdir()
    append(tmp_path / "app" / "a.log", "1")
    one = Rig(tmp_path, "*/*.log")
    with monkeypatch.context() as patch:
        refuse(patch, "app")
        for _ in range(20):
            one.step(1.0)
        assert one.events == [DIRECTORY]
        assert [group.refusal.event for group in one.tail.table.unreadable.groups()] == [DIRECTORY]
    os.utime(tmp_path / "app")
    assert one.drain(5.0) == ["1"]
    assert one.tail.table.unreadable.groups() == []
    one.tail.close()


def test_globs_that_match_nothing(tmp_path):
    """Of several globs those are named for which there is no file; one that matches what can't be read is not among them."""
    append(tmp_path / "a.log", "1")
    one = Rig(tmp_path, "*.log", "*.lgo", "no/such/*.log")
    one.drain()
    assert one.tail.unmatched() == [str(tmp_path / "*.lgo"), str(tmp_path / "no/such/*.log")]
    one.tail.table.unreadable.note(str(tmp_path / "x.lgo"), "unreadable", DENIED)
    assert one.tail.unmatched() == [str(tmp_path / "no/such/*.log")]
    one.tail.table.unreadable.note(str(tmp_path / "no"), DIRECTORY, DENIED)
    assert one.tail.unmatched() == []
    one.tail.close()


def test_a_survey(tmp_path, monkeypatch):
    """Before a start a glob's files are counted, and those that we may not read are named without opening any."""
    (tmp_path / "app").mkdir()
    for name in ("a.log", "b.log", "app/c.log"):
        append(tmp_path / name, "1")
    monkeypatch.setattr(os, "access", lambda path, _mode, **_options: not str(path).endswith("b.log"))
    refuse(monkeypatch, "app")
    found = survey(str(tmp_path / "**" / "*.log"), ())
    assert (found.found, sorted(map(printable, found.refused))) == (2, [str(tmp_path / "app"), str(tmp_path / "b.log")])
    assert survey(str(tmp_path / "*.txt"), ()).found == 0
