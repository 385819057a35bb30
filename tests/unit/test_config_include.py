"""Included files: joined lists, one place for everything else, and faults that name the right file."""

from __future__ import annotations

import pytest

from agent.config import InvalidConfigError, read


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory with a main file and a conf.d; returns a function that writes a file."""
    (tmp_path / "conf.d").mkdir()
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def faults(path) -> list[str]:
    """The faults, without the fixes, with paths relative to the main file's directory."""
    with pytest.raises(InvalidConfigError) as caught:
        read(path, {})
    return [line.partition(" (fix")[0].replace(f"{path.parent}/", "") for line in str(caught.value).split("\n")]


def test_lists_are_joined_in_order(folder):
    """Entries of included files stand behind those of the main file, by file name; sections that it lacks are taken over."""
    main = folder("main.yaml", "include: [conf.d/*.yaml]\nexporters:\n  - {type: console, name: a}\n")
    folder("conf.d/20.yaml", "exporters:\n  - {type: console, name: c}\nlog: {level: debug}\n")
    folder("conf.d/10.yaml", "exporters:\n  - {type: console, name: b, stream: stderr}\nserver: {listen: 'localhost:1'}\n")
    settings, warnings = read(main, {})
    assert [entry.name for entry in settings.exporters] == ["a", "b", "c"]
    assert (settings.log.level, settings.server.listen, warnings) == ("debug", "localhost:1", ())


def test_faults_name_the_included_file(folder):
    """A fault in an included entry has that file's line and column, and the entry's number in the joined list."""
    main = folder("main.yaml", "include: conf.d/*.yaml\nexporters:\n  - {type: console}\n")
    folder("conf.d/a.yaml", "exporters:\n  - type: file\n    directry: /x\n  - {type: console}\nserver: {liste: x}\n")
    assert faults(main) == [
        "conf.d/a.yaml:2:5: exporters[1].directory: is required",
        "conf.d/a.yaml:3:5: exporters[1].directry: unknown key",
        "conf.d/a.yaml:4:5: exporters[2].name: 'console' is already the name of exporters[0]",
        "conf.d/a.yaml:5:10: server.liste: unknown key",
    ]


def test_names_of_the_agent_are_refused(folder):
    """An entry can't have a name under which the agent itself stores: their positions would be mixed."""
    main = folder(
        "main.yaml", "exporters:\n  - {type: console, name: outrider.target}\n  - {type: console, name: child}\n  - {type: console}\n"
    )
    assert faults(main) == [
        "main.yaml:2:27: exporters[0].name: 'outrider.target' is a name that the agent uses itself",
        "main.yaml:3:27: exporters[1].name: 'child' is a name that the agent uses itself",
    ]


def test_a_value_is_set_once(folder):
    """An option that two files set is refused, naming both."""
    main = folder("main.yaml", "include: [conf.d/a.yaml]\nserver: {listen: 'localhost:1'}\nspool: {quota: 1GiB}\n")
    folder("conf.d/a.yaml", "server: {listen: 'localhost:2'}\n")
    assert faults(main) == ["conf.d/a.yaml:1:18: server.listen: is already set in main.yaml:2:18"]


def test_references_and_syntax_in_included_files(folder):
    """An included file has references and syntax of its own, with faults of its own."""
    main = folder("main.yaml", "include: [conf.d/*]\nservice: {name: '${NO}'}\n")
    folder("conf.d/a.yaml", "log: {level: '${NO}'}\n")
    folder("conf.d/b.yaml", "log: [\n")
    assert faults(main) == [
        "conf.d/a.yaml:1:14: log.level: the environment variable NO is not set",
        "conf.d/b.yaml:2:1: is not YAML: expected the node content, but found '<stream end>'",
        "main.yaml:2:17: service.name: the environment variable NO is not set",
    ]


def test_what_can_be_included(folder):
    """A plain name must exist; an included file includes no others; a directory is not a file."""
    main = folder("main.yaml", "include: [gone.yaml, conf.d/a.yaml, conf.d]\n")
    folder("conf.d/a.yaml", "include: [../main.yaml]\n")
    assert faults(main) == [
        "conf.d/a.yaml:1:1: include: an included file includes no others",
        "main.yaml:1:11: include: no such file: gone.yaml",
        "main.yaml:1:37: include: conf.d cannot be read: Is a directory",
    ]


def test_a_pattern_without_a_match_is_a_warning(folder):
    """A pattern that matches no file is reported with its place and the whole pattern; the agent starts nevertheless."""
    main = folder("main.yaml", "include: [conf.d/*.yml, conf.d/*.yaml]\n")
    folder("conf.d/a.yaml", "log: {level: debug}\n")
    settings, warnings = read(main, {})
    assert settings.log.level == "debug"
    assert [str(one) for one in warnings] == [
        f"{main}:1:11: include: no file matches {main.parent}/conf.d/*.yml (fix: create it or correct the path)"
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("5", "main.yaml:1:10: include: must be a list of file names, not a number"),
        ("{a: b}", "main.yaml:1:10: include: must be a list of file names, not a mapping"),
        ("[main.*l, 1]", "main.yaml:1:20: include[1]: must be text, not a number"),
        ("[[a]]", "main.yaml:1:11: include[0]: must be text, not a list"),
    ],
)
def test_what_include_may_be(folder, value, message):
    """Only names are included. Any other value is reported with its place, and the names are included nevertheless."""
    found = faults(folder("main.yaml", f"include: {value}\n"))
    assert message in found
    assert ("main.yaml:1:1: include: an included file includes no others" in found) == ("main" in value)
