"""A runtime rotates in the middle of a line that it wrote in pieces: the line is one record nevertheless."""

from __future__ import annotations

import gzip

import pytest

from tests.support.tail_rig import Rig


@pytest.fixture
def rig(tmp_path):
    """A follower of a container's log, as kubelet names it; the newer file is the live one."""
    rig = Rig(tmp_path, "0.log", format="auto", partial_idle=60.0)
    yield rig
    rig.close()


def cri(second, tag, text, stream="stdout"):
    """A line as containerd writes it."""
    return f"2026-11-29T10:00:{second:02}.5Z {stream} {tag} {text}\n"


def add(path, *lines):
    """Append."""
    with path.open("a") as file:
        file.writelines(lines)


def rotate(tmp_path, *, compressed=False):
    """As kubelet does it."""
    rotated = (tmp_path / "0.log").rename(tmp_path / "0.log.20261129-100002")
    if compressed:
        rotated.with_name(rotated.name + ".gz").write_bytes(gzip.compress(rotated.read_bytes()))
        rotated.unlink()


@pytest.mark.parametrize("restarts", [(), (1,), (2,), (3,), (1, 2, 3)])
@pytest.mark.parametrize("pause", [0.2, 3.0])
def test_a_line_in_pieces_over_a_rotation(rig, tmp_path, restarts, pause):
    """Its first piece is the last of one file, its last one the first of the next; the agent is killed at any place."""
    live = tmp_path / "0.log"
    add(live, cri(1, "F", "one"), cri(2, "P", "first half, "))
    rig.drain(pause)
    if 1 in restarts:
        rig.restart()
        rig.drain(pause)
    rotate(tmp_path)
    rig.step()
    if 2 in restarts:
        rig.restart()
    add(live, cri(2, "F", "second half"), cri(3, "F", "three"))
    batch = rig.next()
    if 3 in restarts:
        rig.restart()
    else:
        rig.commit(batch)
    rig.drain()
    rig.drain(3.0)
    assert rig.bodies() == ["one", "first half, second half", "three"]


def test_three_files(rig, tmp_path):
    """A line may be longer than a file."""
    live = tmp_path / "0.log"
    add(live, cri(1, "P", "a"))
    rig.drain()
    rotate(tmp_path)
    add(live, cri(1, "P", "b"))
    rig.drain()
    live.rename(tmp_path / "0.log.20261129-100003")
    add(live, cri(1, "F", "c"), cri(2, "F", "next"))
    rig.drain()
    rig.drain(3.0)
    assert rig.bodies() == ["abc", "next"]
    assert all(stream.saved.offset == stream.offset for stream in rig.tail.table.contents.values())


@pytest.mark.parametrize("restart", [True, False])
def test_other_streams_of_the_same_file(rig, tmp_path, restart):
    """Lines of stderr in between are read once, and the position of the first file stays before the piece until the line is whole."""
    live = tmp_path / "0.log"
    add(live, cri(1, "P", "out "), cri(1, "F", "error one", "stderr"))
    rig.drain()
    rotate(tmp_path)
    add(live, cri(2, "F", "error two", "stderr"))
    rig.drain()
    if restart:
        rig.restart()
        rig.drain()
    add(live, cri(3, "F", "put"), cri(4, "F", "last"))
    rig.drain()
    rig.drain(3.0)
    assert sorted(rig.bodies()) == ["error one", "error two", "last", "out put"]


def test_the_rest_never_comes(rig, tmp_path):
    """A piece whose rest is missing is a record of its own in the end, and is not read again."""
    add(tmp_path / "0.log", cri(1, "P", "only half"))
    rig.drain()
    rotate(tmp_path)
    for _ in range(5):
        rig.step(2.0)
    assert rig.bodies() == ["only half"]
    rig.restart()
    add(tmp_path / "0.log", cri(3, "F", "another"))
    rig.drain()
    rig.drain(3.0)
    assert rig.bodies() == ["only half", "another"]


def test_the_file_is_compressed_at_once(rig, tmp_path):
    """The agent did not run when kubelet rotated and compressed."""
    live = tmp_path / "0.log"
    add(live, cri(1, "F", "one"), cri(2, "P", "first half, "))
    rig.drain()
    rig.tail.close()
    rotate(tmp_path, compressed=True)
    add(live, cri(2, "F", "second half"))
    rig.start()
    rig.drain()
    rig.drain(3.0)
    assert rig.bodies() == ["one", "first half, second half"]


def test_docker_rotates(tmp_path):
    """Docker's `json-file` driver ends a piece without a newline."""
    rig, live = Rig(tmp_path, "c-json.log", format="auto"), tmp_path / "c-json.log"
    add(live, '{"log":"half and ","stream":"stdout","time":"2026-11-29T10:00:01Z"}\n')
    rig.drain()
    live.rename(tmp_path / "c-json.log.1")
    add(live, '{"log":"half\\n","stream":"stdout","time":"2026-11-29T10:00:01Z"}\n')
    rig.drain()
    rig.close()
    assert rig.bodies() == ["half and half"]
