"""A program that logs an error and then dies of an exception, under `outrider exec`."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.agent_process import outrider

pytestmark = pytest.mark.integration

LOGGING = "import logging, sys, time; logging.basicConfig(format='%(asctime)s %(levelname)s %(name)s: %(message)s')\n"
CRASH = LOGGING + "logging.error('cannot pay')\ntime.sleep({pause})\nraise ValueError('no card')\n"
CAUGHT = LOGGING + "try:\n    raise ValueError('no card')\nexcept ValueError:\n    logging.exception('cannot pay')\n"


def records(tmp_path, script: str) -> list[tuple[str, str, str]]:
    """Body, level as written and exception type of the records of stderr, in order."""
    outrider("exec", "--", sys.executable, "-c", script, state=tmp_path / "state")
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
        (record["body"]["stringValue"], record.get("severityText", ""), own.get("exception.type", ""))
        for record, own in zip(found, attributes, strict=True)
        if own.get("log.iostream") == "stderr"
    ]


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3])
def test_the_error_and_the_crash_are_two_records(tmp_path, pause):
    """However soon the one comes after the other: the crash is nobody's log record."""
    found = records(tmp_path, CRASH.format(pause=pause))

    assert found == [("cannot pay", "ERROR", ""), ("ValueError: no card", "", "ValueError")]


def test_what_was_caught_at_the_outermost_level_is_one_record(tmp_path):
    """The program ends well, so a logger wrote the traceback."""
    assert records(tmp_path, CAUGHT) == [("cannot pay", "ERROR", "ValueError")]
