"""Paths in a configuration: what can be none is refused when it is loaded, with its place."""

from __future__ import annotations

import pytest

from agent.config import InvalidConfigError, read


def faults(tmp_path, text: str, **env: str) -> str:
    """The message about an invalid path."""
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(InvalidConfigError) as refused:
        read(file, env)
    return str(refused.value)


@pytest.mark.parametrize("path", [r"a\0b", r"a\ud800b"], ids=["NUL", "surrogate"])
@pytest.mark.parametrize(
    ("before", "place"),
    [("state_dir: ", "f.yaml:1:12: state_dir"), ("exporters:\n- type: file\n  directory: ", "f.yaml:3:14: exporters[0].directory")],
    ids=["state_dir", "directory"],
)
def test_what_no_path_can_be_is_refused_at_its_place(tmp_path, before, place, path):
    """It was a traceback when the agent started, or a failure at each attempt to write."""
    assert f"{place}: is not a path: it holds characters that no name has" in faults(tmp_path, f'{before}"{path}"\n')


def test_a_tilde_is_refused_with_what_to_write(tmp_path):
    """Only a shell knows whose home is meant; taken as it is, it would be a directory of that name."""
    said = faults(tmp_path, "state_dir: ~/state\n")
    assert "state_dir: begins with ~, which only a shell expands (fix: write the whole path" in said


def test_a_state_directory_is_utf8():
    """Text that SQLite or the log can't hold is refused."""
    with pytest.raises(InvalidConfigError, match=r"OUTRIDER_STATE_DIR.*is not valid UTF-8"):
        read(None, {"OUTRIDER_STATE_DIR": "/s\udcff"})


def test_a_path_may_begin_with_a_tilde_behind_a_dot():
    """A directory can be called so."""
    assert str(read(None, {"OUTRIDER_STATE_DIR": "./~a"}).settings.state_dir) == "~a"


LOG_FILES = "sources:\n- type: log_files\n  include:\n  - /l/*.log\n  - "


def test_a_glob_that_cannot_be_meant_so_is_refused_at_its_place(tmp_path):
    """The source was restarted with an error for ever, and read none of its other globs."""
    said = faults(tmp_path, f'{LOG_FILES}"/l/[z-a]*.log"\n')
    assert "f.yaml:5:5: sources[0].include[1]: is not a glob: [z-a] has a range that goes backwards: z-a (fix: correct it" in said


@pytest.mark.parametrize("glob", [r"~/*.log", r"/l/\0.log", r"/l/\ud800*"])
def test_a_glob_of_what_no_path_can_be_is_refused(tmp_path, glob):
    """Such a glob matched nothing, without a message."""
    assert "f.yaml:5:5: sources[0].include[1]: " in faults(tmp_path, f'{LOG_FILES}"{glob}"\n')
