"""Globs, and the names that rotations give."""

from __future__ import annotations

import pytest

from agent.tail.names import compile_glob, glob_depth, glob_root, is_rotated, possible_bases, printable, rotation_number


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/l/*.log", "/l/a.log", True),
        ("/l/*.log", "/l/x/a.log", False),
        ("/l/*.log", "/l/.a.log", False),
        ("/l/.*.log", "/l/.a.log", True),
        ("/l/**/*.log", "/l/a.log", True),
        ("/l/**/*.log", "/l/x/y/a.log", True),
        ("/l/**/*.log", "/l/.git/a.log", False),
        ("/l/**", "/l/x/y", True),
        ("/l/a?.log", "/l/ab.log", True),
        ("/l/a?.log", "/l/a/.log", False),
        ("/l/[a-c].log", "/l/b.log", True),
        ("/l/[!a-c].log", "/l/b.log", False),
        ("/l/[!a].log", "/l//.log", False),
        ("/l/[]].log", "/l/].log", True),
        ("/l/[]", "/l/[]", True),
        ("/l/[!]x", "/l/[!]x", True),
        ("/l/[.-0].log", "/l//.log", False),
        ("/l/[\\d].log", "/l/1.log", False),
        ("/l/[\\d].log", "/l/\\.log", True),
        ("/l/[a^].log", "/l/^.log", True),
        ("/l/x[--0].log", "/l/x..log", True),
        ("/l/[a&&b].log", "/l/&.log", True),
        ("/l/[a||b~~c].log", "/l/|.log", True),
        ("/l/x[[.].log", "/l/x[.log", True),
        ("/l/[[a].log", "/l/[.log", True),
        ("/l/[+-].log", "/l/-.log", True),
        ("/l/[[:alpha:]_-][[:digit:]].log", "/l/b7.log", True),
        ("/l/[[:alpha:]_-][[:digit:]].log", "/l/-7.log", True),
        ("/l/[[:alpha:]_-][[:digit:]].log", "/l/:7.log", False),
        ("/l/[![:space:]].log", "/l/ .log", False),
        ("/l/[[:punct:]].log", "/l/[.log", True),
        ("/l/[[:punct:]].log", "/l/a.log", False),
        ("/l/a+(b).log", "/l/a+(b).log", True),
        ("/l/[x", "/l/[x", True),
        ("/l/*.log", "/l/a\n.log", True),
        ("/l/*.log", "/l/a.log\n", False),
    ],
)
def test_glob(pattern, path, matches):
    """A glob matches what a shell would."""
    assert bool(compile_glob(pattern).match(path)) is matches


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("/l/[z-a].log", "a range that goes backwards: z-a"),
        ("/l/[[:word:]].log", "no class of POSIX"),
        ("/l/[[.a.]].log", "a collating symbol"),
        ("/l/[[=a=]].log", "an equivalence class"),
    ],
)
def test_a_class_that_cannot_be_meant_so_is_refused(pattern, what):
    """The message quotes the class."""
    with pytest.raises(ValueError, match=what):
        compile_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "root", "depth"),
    [("/l/*.log", "/l", 0), ("/l/*/x/*.log", "/l", 2), ("/l/**/a", "/l", None), ("/*.log", "/", 0), ("/l/a.log", "/l", 0)],
)
def test_glob_root(pattern, root, depth):
    """A search begins in the deepest directory that is named, and goes no deeper than it must."""
    assert (glob_root(pattern), glob_depth(pattern)) == (root, depth)


@pytest.mark.parametrize("suffix", ["1", "12.gz", "2026-01-01", "2026-01-01_10-00-00", "gz", "old", "2026-01-01.3"])
def test_rotated_suffixes(suffix):
    """The suffixes that logrotate, the standard library and people give are known."""
    assert is_rotated("a.log", f"a.log.{suffix}")


@pytest.mark.parametrize(
    "name", ["a.log-20260101.gz", "a.log-20260101-1700000000", "a.1.log", "a.2026-01-01_00-00-00_000000.log", "a-2026-01-01T10.log.gz"]
)
def test_rotated_names(name):
    """So are dates, also before the extension as loguru has them."""
    assert is_rotated("a.log", name)


@pytest.mark.parametrize("name", ["a.log", "b.log.1", "aa.log", "a.log.txt", "a.logger", "ab.log.1", "a.txt.1"])
def test_other_names(name):
    """Other names are not taken for rotated ones."""
    assert not is_rotated("a.log", name)


def test_possible_bases_end():
    """A name of nothing but numbers has no base without a name."""
    assert possible_bases("1.2.3") == ["1.2", "1"]
    assert possible_bases(".1") == []


def test_rotation_number():
    """The count of a rotation is read with and without compression; a date is none."""
    assert [rotation_number(name) for name in ("a.log.3", "a.log.3.gz", "a.log", "a.log-20260101", "a.log.20260101")] == [
        3,
        3,
        None,
        None,
        None,
    ]


def test_printable():
    """Characters that cannot be shown are escaped, the rest is left."""
    assert printable("/l/ä\udcff\x1b[31m\n") == "/l/ä\\xff\\x1b[31m\\n"
