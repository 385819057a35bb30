"""A program that logs an error and then dies of an exception: under `outrider exec`, and beside an agent that follows its file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.agent_process import AgentProcess, outrider, wait_until

pytestmark = pytest.mark.integration

LOGGING = "import logging, sys, time; logging.basicConfig(format='%(asctime)s %(levelname)s %(name)s: %(message)s')\n"
CRASH = LOGGING + "logging.error('cannot pay')\ntime.sleep({pause})\nraise ValueError('no card')\n"
CAUGHT = LOGGING + "try:\n    raise ValueError('no card')\nexcept ValueError:\n    logging.exception('cannot pay')\n"


def records(tmp_path, script: str) -> list[tuple[str, str, str]]:
    """The records of a command's stderr."""
    outrider("exec", "--", sys.executable, "-c", script, state=tmp_path / "state")
    return [record for record, own in exported(tmp_path) if own.get("log.iostream") == "stderr"]


def records_of_file(tmp_path, script: str) -> list[tuple[str, str, str]]:
    """The records of a file that a program writes its stderr to, read only when it has ended."""
    with (tmp_path / "app.log").open("wb") as log:
        subprocess.run([sys.executable, "-c", script], stderr=log, check=False, timeout=60)
    (tmp_path / "c.yaml").write_text(f"sources: [{{type: log_files, include: [{tmp_path}/app.log]}}]\n")
    with AgentProcess(tmp_path / "state", "--config", str(tmp_path / "c.yaml")):
        wait_until(lambda: exported(tmp_path), "the records are stored")
    return [record for record, _ in exported(tmp_path)]


def exported(tmp_path) -> list[tuple[tuple[str, str, str], dict[str, str]]]:
    """Body, level as written and exception type of each stored record, with its attributes, in order."""
    exported = outrider("spool", "export", state=tmp_path / "state").stdout.decode()
    found = [
        record
        for line in exported.splitlines()
        for resource in json.loads(line)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    attributes = [{one["key"]: one["value"].get("stringValue", "") for one in record.get("attributes", [])} for record in found]
    return [
        ((record["body"]["stringValue"], record.get("severityText", ""), own.get("exception.type", "")), own)
        for record, own in zip(found, attributes, strict=True)
    ]


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3])
def test_the_error_and_the_crash_are_two_records(tmp_path, pause):
    """However soon the one comes after the other, the crash is not a log record."""
    found = records(tmp_path, CRASH.format(pause=pause))

    assert found == [("cannot pay", "ERROR", ""), ("ValueError: no card", "", "ValueError")]


def test_what_was_caught_at_the_outermost_level_is_one_record(tmp_path):
    """The program ends well, so a logger wrote the traceback."""
    assert records(tmp_path, CAUGHT) == [("cannot pay", "ERROR", "ValueError")]


@pytest.mark.parametrize("pause", [0.15, 0.7])
def test_in_a_file_the_time_of_its_last_write_tells_them_apart(tmp_path, pause):
    """Read at one go, an error and a crash that was written later are two records as well."""
    found = records_of_file(tmp_path, CRASH.format(pause=pause))

    assert found == [("cannot pay", "ERROR", ""), ("ValueError: no card", "", "ValueError")]


def test_in_a_file_a_traceback_that_its_logger_wrote_is_one_record(tmp_path):
    """The file was last written when the text says."""
    assert records_of_file(tmp_path, CAUGHT) == [("cannot pay", "ERROR", "ValueError")]
