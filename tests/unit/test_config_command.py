"""The configuration as a person meets it: `outrider check`, `schema`, `components`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.config import schema
from agent.registry import rows

BAD = Path(__file__).parents[1] / "config/bad"


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_file_prints_all_faults_and_exits_78(command, monkeypatch):
    """A wrong configuration ends a command with EX_CONFIG and every fault, and nothing is started."""
    monkeypatch.chdir(BAD)
    result = CliRunner().invoke(cli, [command, "--config", "several.yaml"])
    faults = [line.removeprefix("# ") for line in (BAD / "several.yaml").read_text().split("\n") if line.startswith("# ")]
    assert result.exit_code == 78
    assert [line.partition("outrider: several.yaml:")[2] for line in result.stderr.splitlines()] == faults
    assert len(faults) > 5


def test_warnings_go_to_standard_error(tmp_path):
    """A doubtful configuration works, and says what is doubtful."""
    file = tmp_path / "f.yaml"
    file.write_text("exporters: [{type: console}]\n")
    result = CliRunner().invoke(cli, ["check", "--config", str(file)], env={"OUTRIDER_LISTN": "x"})
    assert result.exit_code == 0
    assert "warning: OUTRIDER_LISTN: is not a variable of this program (fix: did you mean 'OUTRIDER_LISTEN'?)" in result.stderr
    assert "exporter console" in result.stdout


@pytest.mark.parametrize("name", ["none.yaml", "directory", "a" * 300])
def test_a_file_that_cannot_be_read(tmp_path, name):
    """A configuration file that is not there or not a file ends a command with EX_CONFIG and one line that names it, not with a usage."""
    (tmp_path / "directory").mkdir()
    result = CliRunner().invoke(cli, ["check", "--config", str(tmp_path / name)])
    assert result.exit_code == 78
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"outrider: {tmp_path / name}: cannot be read: ")
    assert "(fix: name a file that exists" in line


def test_an_empty_configuration_says_what_to_set():
    """Without a file and a variable there is nothing to do, and `check` says with what to begin."""
    result = CliRunner().invoke(cli, ["check"])
    assert result.exit_code == 0
    assert "nothing is configured" in result.stdout
    assert "OUTRIDER_LOG_FILES" in result.stdout


def test_schema():
    """`outrider schema` prints the published schema."""
    result = CliRunner().invoke(cli, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == schema()


def test_components():
    """`outrider components` names every component, for people and for programs."""
    names = {row.type for row in rows()}
    assert all(name in CliRunner().invoke(cli, ["components"]).stdout for name in names)
    listed = json.loads(CliRunner().invoke(cli, ["components", "--json"]).stdout)
    assert {one["type"] for one in listed} == names
    assert all(option["path"] and option["type"] for one in listed for option in one["options"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["components", "schema", "--help"])
def test_a_full_disk_behind_standard_output_is_told_in_one_line(command: str):
    """Output that finds no place ends the command with exit code 74 (EX_IOERR) and a sentence."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "agent", command], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stderr.decode()) == (74, "outrider: the output can't be written: No space left on device\n")
