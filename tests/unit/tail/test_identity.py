"""The content of a file is known by the bytes that were read of it, if these are more than all contents have in common."""

from __future__ import annotations

import gzip
import os
from collections import Counter

import pytest

from agent.tail.content import Content
from agent.tail.position import FilePlace, Position
from tests.support.tail_rig import Rig

HEADER = "time,level,message\n"
BANNER = "".join(f"** line {number} of the banner that each start writes **\n" for number in range(60))


@pytest.fixture
def rigs(tmp_path):
    """Makes rigs on `tmp_path` and closes them."""
    made = []

    def make(*include, **config):
        made.append(Rig(tmp_path, *include, partial_idle=0, **config))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def lines(first, last, word="row"):
    """Numbered lines, each of its own."""
    return "".join(f"{word} {number} of the log, and a little more of it\n" for number in range(first, last))


def add(path, text):
    """Append."""
    with path.open("a") as file:
        file.write(text)


def pack(path, to=None, *, keep=False):
    """Compress as gzip does it: with the time of the last write kept."""
    status = path.stat()
    packed = to or path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    if not keep:
        path.unlink()
    return packed


def wrong(rig, *texts):
    """Lines that did not arrive as often as they stand in these contents, and how often too many (or too few)."""
    expected = Counter(line for text in texts for line in text.splitlines())
    got = Counter(rig.bodies())
    return {line: got[line] - expected[line] for line in expected | got if got[line] != expected[line]}


def settle(rig):
    """Long enough for every decision that waits."""
    rig.drain()
    rig.drain(2.0)
    for _ in range(4):
        rig.step(2.0)


def test_a_header_alone_claims_no_later_copy(rigs, tmp_path):
    """A content that ended with its header and was removed is not taken for what was read further, nor for what is new."""
    rig, live = rigs("app.log"), tmp_path / "app.log"
    live.write_text(HEADER)
    settle(rig)
    live.rename(tmp_path / "app.log.1")
    live.write_text(HEADER + lines(0, 50))
    settle(rig)
    (tmp_path / "app.log.1").unlink()
    settle(rig)
    add(live, lines(50, 60))
    (tmp_path / "app.log.1").write_bytes(live.read_bytes())
    os.truncate(live, 0)
    live.write_text(HEADER + lines(60, 70))
    settle(rig)
    assert wrong(rig, HEADER, HEADER + lines(0, 60), HEADER + lines(60, 70)) == {}


@pytest.mark.parametrize("compressed", [True, False])
def test_a_copy_that_is_shorter_than_what_was_read_and_written_later_is_another(rigs, tmp_path, compressed):
    """Emptied and begun again with the same banner while no agent ran, then copied: its lines are read."""
    rig, live = rigs("app.log"), tmp_path / "app.log"
    live.write_text(BANNER + lines(0, 120))
    settle(rig)
    rig.tail.close()
    live.write_text(BANNER + lines(120, 153))
    copy = tmp_path / "app.log.1"
    copy.write_bytes(live.read_bytes())
    if compressed:
        pack(copy)
    os.truncate(live, 0)
    rig.start()
    settle(rig)
    assert wrong(rig, BANNER + lines(0, 120), BANNER + lines(120, 153)) == {}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("restart", [True, False])
def test_a_copy_made_a_moment_before_the_last_line_that_was_read(rigs, tmp_path, restart, compressed):
    """Lines were written and read between the copy and the truncation: the copy ends before them, and nothing is read again."""
    rig, live, copy = rigs("app.log"), tmp_path / "app.log", tmp_path / "app.log.1"
    live.write_text(lines(0, 120))
    settle(rig)
    content = live.read_bytes()
    copy.write_bytes(content)
    os.utime(copy, ns=(live.stat().st_mtime_ns,) * 2)
    add(live, lines(120, 123))
    copy.rename(tmp_path / "elsewhere")  # as if no scan had come in between
    rig.drain()
    (tmp_path / "elsewhere").rename(copy)
    if compressed:
        pack(copy)
    if restart:
        rig.tail.close()
    live.write_text(lines(123, 130))
    if restart:
        rig.start()
    settle(rig)
    assert wrong(rig, lines(0, 130)) == {}


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("head", ["", HEADER, BANNER])
def test_replaced_by_a_fuller_copy(rigs, tmp_path, restart, times, head):
    """An editor, `sed -i` or rsync writes the content and more to a new file of the same name: only what is more is read."""
    rig, live = rigs("app.log"), tmp_path / "app.log"
    live.write_text(head + lines(0, 50))
    settle(rig)
    for number in range(times):
        if restart:
            rig.tail.close()
        temporary = tmp_path / ".app.log.tmp"
        temporary.write_text(live.read_text() + lines(50 + number, 51 + number))
        temporary.replace(live)
        if restart:
            rig.start()
        settle(rig)
    assert wrong(rig, head + lines(0, 50 + times)) == {}
    add(live, lines(50 + times, 60 + times))
    settle(rig)
    assert wrong(rig, head + lines(0, 60 + times)) == {}


@pytest.mark.parametrize("restart", [True, False])
def test_replaced_by_another_with_the_same_head(rigs, tmp_path, restart):
    """A file created again, longer than the one before and with the same first lines, is read whole."""
    rig, live = rigs("app.log"), tmp_path / "app.log"
    for number in range(3):
        if restart:
            rig.tail.close()
        live.unlink(missing_ok=True)
        live.write_text(BANNER + lines(number * 100, number * 100 + 10 * (number + 1)))
        if restart:
            rig.start()
        settle(rig)
    assert wrong(rig, *(BANNER + lines(number * 100, number * 100 + 10 * (number + 1)) for number in range(3))) == {}


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("include", [("app.log",), ("app.log", "old/*")])
@pytest.mark.parametrize("way", ["rename", "copytruncate", "compress"])
def test_rotated_into_another_directory(rigs, tmp_path, restart, include, way):
    """`olddir` below the log's directory, asked for by a glob or not, while the agent runs or does not: each line once."""
    (tmp_path / "old").mkdir()
    rig, live = rigs(*include), tmp_path / "app.log"
    live.write_text(HEADER + lines(0, 100))
    settle(rig)
    for number in range(1, 4):
        if restart:
            rig.tail.close()
        add(live, lines(100 * number, 100 * number + 50))
        old = tmp_path / "old" / f"app.log-2026112{number}"
        if way == "copytruncate":
            old.write_bytes(live.read_bytes())
            os.truncate(live, 0)
        else:
            live.rename(old)
        live.write_text(HEADER + lines(100 * number + 50, 100 * number + 100))
        if way == "compress":
            pack(old)
        if restart:
            rig.start()
        settle(rig)
    assert wrong(rig, HEADER * 4 + lines(0, 400)) == {}


def test_a_directory_that_is_named_for_rotated_files(rigs, tmp_path):
    """Two rotations into a directory far away while no agent ran: what came and went there is read, what is from before our time is not."""
    far, near = tmp_path / "archive" / "of" / "logs", tmp_path / "logs"
    far.mkdir(parents=True)
    near.mkdir()
    (far / "app.log.9").write_text(lines(900, 950))
    os.utime(far / "app.log.9", (1_000_000_000, 1_000_000_000))
    rig, live = rigs("logs/app.log", rotated_to=[str(far)]), near / "app.log"
    live.write_text(lines(0, 10))
    settle(rig)
    rig.tail.close()
    add(live, lines(10, 20))
    live.rename(far / "app.log.2")
    live.write_text(lines(20, 30))
    live.rename(far / "app.log.1")
    live.write_text(lines(30, 40))
    rig.start()
    settle(rig)
    assert wrong(rig, lines(0, 40)) == {}


def test_what_vanished_while_nobody_listed_is_told(rigs, tmp_path):
    """A file that was moved to an unknown place may have had more lines: that is an event, and counted."""
    logs = tmp_path / "logs"
    logs.mkdir()
    rig, live = rigs("logs/app.log"), logs / "app.log"
    live.write_text(lines(0, 10))
    settle(rig)
    rig.tail.close()
    add(live, lines(10, 20))
    (tmp_path / "far" / "away").mkdir(parents=True)
    live.rename(tmp_path / "far" / "away" / "archived")
    live.write_text(lines(20, 30))
    rig.start()
    settle(rig)
    assert "vanished" in rig.events


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("rotation", ["rename", "copytruncate"])
def test_a_compressed_snapshot_of_a_living_file(rigs, tmp_path, rotation, restart):
    """A hard link to the live log is compressed with `gzip -f`, and the log is written on and rotated: nothing is read twice."""
    rig, live = rigs("app.log"), tmp_path / "app.log"
    live.write_text(HEADER + lines(0, 100))
    settle(rig)
    os.link(live, tmp_path / "app.log-20261128")
    pack(tmp_path / "app.log-20261128")
    settle(rig)
    if restart:
        rig.restart()
    add(live, lines(100, 200))
    settle(rig)
    if rotation == "rename":
        live.rename(tmp_path / "app.log-20261129")
    else:
        (tmp_path / "app.log-20261129").write_bytes(live.read_bytes())
    live.write_text(HEADER + lines(200, 300))
    settle(rig)
    if restart:
        rig.restart()
        settle(rig)
    assert wrong(rig, HEADER * 2 + lines(0, 300)) == {}


@pytest.mark.parametrize("include", ["app.log", "app.log*"])
def test_a_backup_of_a_living_file(rigs, tmp_path, include):
    """A copy made by hand is not a new content, also when the file it was made of is rotated afterwards, and forgotten."""
    rig, live = rigs(include), tmp_path / "app.log"
    live.write_text(lines(0, 100))
    settle(rig)
    (tmp_path / "app.log.bak").write_bytes(live.read_bytes())
    settle(rig)
    add(live, lines(100, 200))
    settle(rig)
    live.rename(tmp_path / "app.log.1")
    live.write_text(lines(200, 300))
    settle(rig)
    (tmp_path / "app.log.1").unlink()
    for _ in range(100):
        rig.step(10.0)
    rig.restart()
    settle(rig)
    assert wrong(rig, lines(0, 300)) == {}


def test_emptied_between_the_look_at_it_and_the_look_at_its_copy(rigs, tmp_path, monkeypatch):
    """A live file is copied and emptied while a scan is continuing: the copy is not taken for a new file because nothing is missing yet."""
    rig, live = rigs("app.log"), tmp_path / "app.log"
    live.write_text(lines(0, 40))
    settle(rig)
    (tmp_path / "app.log.1").write_text(lines(0, 20))  # half of the copy
    rig.step()
    find = rig.tail._succession._candidates.find

    def then_empty(directories):
        found = find(directories)
        (tmp_path / "app.log.1").write_text(lines(0, 40))
        live.write_text(lines(40, 45))
        monkeypatch.undo()
        return found

    monkeypatch.setattr(rig.tail._succession._candidates, "find", then_empty)
    settle(rig)
    assert wrong(rig, lines(0, 45)) == {}


@pytest.mark.parametrize("start_at", ["beginning", "end"])
def test_rotated_files_behind_a_link(rigs, tmp_path, start_at):
    """A file that was rotated away beside the target of a link before the agent's time is left alone; later ones are read."""
    pod, containers = tmp_path / "pods" / "web", tmp_path / "containers"
    pod.mkdir(parents=True)
    containers.mkdir()
    live = pod / "0.log"
    for number in (1, 2):
        (pod / f"0.log.2026112{number}-100001").write_text(lines(number * 100, number * 100 + 50))
        os.utime(pod / f"0.log.2026112{number}-100001", (1_000_000_000 + number,) * 2)
    pack(pod / "0.log.20261121-100001")
    live.write_text(lines(0, 50))
    (containers / "web.log").symlink_to(live)
    rig = rigs("containers/*.log", start_at=start_at)
    settle(rig)
    add(live, lines(50, 60))
    live.rename(pod / "0.log.20261129-100001")
    live.write_text(lines(60, 70))
    settle(rig)
    assert wrong(rig, lines(0 if start_at == "beginning" else 50, 70)) == {}


def rotate_a_mere_banner(rig, live):
    """A start that wrote nothing but the banner, compressed and seen only after the next one had written more; then that is rotated."""
    hidden = live.with_name("hidden")
    live.write_text(BANNER)
    live.rename(hidden)
    live.write_text(BANNER + lines(20, 40))
    settle(rig)
    pack(hidden, live.with_name("app.log.1.gz"))
    settle(rig)
    live.rename(live.with_name("app.log.0"))
    live.touch()
    settle(rig)


def test_a_banner_alone_is_no_copy_where_an_older_file_begins_with_it(rigs, tmp_path):
    """The beginning of the live file is a content of its own if a compressed file of the same log begins with it, too."""
    rig, live = rigs("app.log", "app.log.*"), tmp_path / "app.log"
    live.write_text(BANNER + lines(0, 20))
    settle(rig)
    live.rename(tmp_path / "app.log.2")
    pack(tmp_path / "app.log.2")
    rotate_a_mere_banner(rig, live)
    assert wrong(rig, BANNER + lines(0, 20), BANNER, BANNER + lines(20, 40)) == {}


def test_a_beginning_that_no_other_file_tells_from_a_copy_is_counted(rigs, tmp_path):
    """Where no other file of the log tells whether it is a mere banner, it is taken for a copy, and that is reported."""
    rig, live = rigs("app.log", "app.log.*"), tmp_path / "app.log"
    rotate_a_mere_banner(rig, live)
    assert wrong(rig, BANNER + lines(20, 40)) == {}
    assert "assumed" in rig.events


def test_a_banner_alone_that_the_live_file_begins_with_is_read_in_the_end(rigs, tmp_path):
    """A copy waits as long as its rotation may take; then, if other files begin with it, too, it is a content of its own."""
    rig, live = rigs("app.log"), tmp_path / "app.log"
    for number in (3, 2):
        live.write_text(HEADER + lines(number, number + 5))
        settle(rig)
        live.rename(tmp_path / f"app.log.{number}")
    live.write_text(HEADER)
    settle(rig)
    (tmp_path / "app.log.1").write_text(HEADER)
    add(live, lines(20, 25))  # as if it had been emptied and begun again with the same line between two scans
    settle(rig)
    rig.step(10.0)
    settle(rig)
    assert Counter(rig.bodies())[HEADER.strip()] == 4
    assert "reread" in rig.events


def test_two_banners_alone_are_two_contents_where_others_go_on_differently(rigs, tmp_path):
    """Bytes that two files have in common are a mere banner if two more files begin with them and continue differently: both are read."""
    rig = rigs("app.log*")
    contents = [BANNER + lines(20, 40), BANNER + lines(0, 20), BANNER, BANNER]
    for number, content in enumerate(contents):
        (tmp_path / f"app.log.{number + 1}").write_text(content)
        settle(rig)
    assert wrong(rig, *contents) == {}


def test_a_rotated_file_has_not_ended_before_it_is_asked_for_its_size():
    """The size that was seen before the rotation is not its last one: lines may have come since."""
    place = FilePlace("/l/app.log", 1, 2)
    content = Content("2-1", place.path, place.path, place, serial=1, saved=Position(place.path, place, 20, size=20))
    content.move(place._replace(path="/l/app.log.1"))
    assert not content.is_at_end
    content.is_polled = True
    assert content.is_at_end
