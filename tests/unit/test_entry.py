"""The command finds its own modules, whatever PYTHONPATH has for the workload."""

from __future__ import annotations

import pytest

from outrider import own_first

STANDARD = ["/opt/bin", "/usr/lib/python311.zip", "/usr/lib/python3.11", "/opt/site-packages"]


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ("", STANDARD, [*STANDARD, "/home"]),
        ("/app", ["/opt/bin", "/app", *STANDARD[1:]], [*STANDARD, "/home", "/app"]),
        ("/b:/a/", ["/b", "/a", *STANDARD], [*STANDARD, "/home", "/b", "/a"]),
        ("/opt/site-packages", STANDARD, [*STANDARD[:3], "/home", "/opt/site-packages"]),
    ],
)
def test_what_pythonpath_names_comes_last(given, path, expected):
    """It stays in its order: also ours may be installed there."""
    assert own_first(path, given, "/home") == expected


def test_an_empty_word_of_pythonpath_is_the_present_directory(tmp_path, monkeypatch):
    """`PYTHONPATH=$PYTHONPATH:/app` has one where nothing was set before."""
    monkeypatch.chdir(tmp_path)

    assert own_first([str(tmp_path), "/app", "/lib"], ":/app", "/home") == ["/lib", "/home", str(tmp_path), "/app"]
