"""UTF-16 and UTF-32 on pipes and standard input: read where a mark says so, and where every other byte shows it, which is counted."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.parse.line_stream import LineStream
from agent.parse.lines import Parser
from agent.parse.wide import Utf8Stream, unmarked
from agent.record import Drop, Origin
from agent.redact.redactor import Redactor

TEXT = "ERROR: größter Vorrat ☃\r\nsecond line of it\r\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-be", "utf-8"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_marked_stream_is_read(encoding, size):
    """However small the reads are."""
    mark = "\ufeff" if encoding.endswith("-be") else ""
    data = (mark + TEXT).encode(encoding)
    one = LineStream(Origin("pipe"), "auto", longest=1000, quiet=0.2)
    for at in range(0, len(data), size):
        one.feed(data[at : at + size], 0)
    one.finish(0)

    batches = list(one.batches)
    assert [record.body for batch in batches for record in batch.records] == ["größter Vorrat ☃\nsecond line of it"]
    assert not any(batch.drops for batch in batches)


@pytest.mark.parametrize("start", [b"", b"\xff", b"\xff\xfe", b"\0", b"a", b"\xff\xfea"])
def test_what_is_shorter_than_a_mark_is_not_lost(start):
    """Bytes that could have become a mark come out at the end, except a mark itself and half a character."""
    stream = Utf8Stream()

    assert stream.feed(start) + stream.end() == (b"" if start.startswith(b"\xff\xfe") else start)


@pytest.mark.parametrize("lost", [1, 2, 3, 7])
def test_behind_lost_bytes_the_next_whole_character_is_read(lost):
    """A pipe that was not read in time loses any number of bytes."""
    data = "\ufeffabcdefgh\n".encode("utf-16-le")
    stream = Utf8Stream()
    before = stream.feed(data[:5])
    stream.skip(lost)

    assert before == b"a"
    assert stream.feed(data[5 + lost :]).decode() == "abcdefgh\n"[-(-(3 + lost) // 2) :]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_without_a_mark_a_line_is_read_and_counted(encoding):
    """The count is the warning: one reason for the source, whatever the lines say."""
    lines, parser = TEXT.replace(" ☃", "").encode(encoding).split(b"\n"), Parser()
    records, drops = parser.parse_chunk(list(enumerate(lines)), Origin("pipe"), 0)
    records += parser.flush(0)

    assert [record.body for record in records] == ["größter Vorrat\nsecond line of it"]
    assert (Counter(drops) + Counter(parser.take_drops()))[Drop.UNMARKED_UTF16] == 2


def test_secrets_in_such_lines_are_seen():
    """The search for secrets does not take the raw bytes for the text."""
    parser = Parser()
    records, _ = parser.parse_chunk([(0, "password=hunter2hunter2".encode("utf-16-le"))], Origin("pipe"), 0)
    text = parser.text
    records += parser.flush(0)

    assert Redactor().redact(records, text)[0][0].body == "password=[REDACTED]"


@pytest.mark.parametrize(
    "line", [b"\0" * 40, b"a\0b", b"\x02\0\0\0\x01\0\0\0" * 8, b"text with one\0 in it", b"\0" * 20 + b"text behind a hole"]
)
def test_holes_and_stray_nuls_are_no_utf_16(line):
    """They are counted as gaps."""
    assert unmarked(line) is None
