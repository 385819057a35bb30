"""The command line's help."""

import pytest
from click.testing import CliRunner

from agent.cli import cli


@pytest.mark.parametrize("group", ["outrider", "outrider spool"])
def test_each_command_has_a_line(group):
    """On a terminal of 80 columns the help of a group shows a whole sentence for each command, none cut off."""
    shown = CliRunner().invoke(cli, [*group.split()[1:], "--help"], prog_name=group.split()[0], terminal_width=80).output
    lines = shown.partition("Commands:\n")[2].splitlines()
    assert lines
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
