"""A real Sentry-compatible server with a strict schema takes what we send, and shows the issues that it should."""

from __future__ import annotations

import json
import os
import sys

import pytest

from agent.component import Accepted
from agent.errors import PausedError, RetryableError
from agent.issues.event.encode import encode_event
from agent.issues.event.frames import EncodeOptions
from agent.issues.event.sdk import SdkCompleter
from agent.issues.reading.record_event import record_event
from agent.issues.reading.rules import Rules
from tests.support import bugsink
from tests.support.sentry import SUBJECT, agent_environment, corpus, event_row, exporter, run_exec

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A strict server."""
    with bugsink.running(tmp_path_factory.mktemp("bugsink")) as running:
        yield running


def events_of(pattern: str) -> list[dict]:
    """The finished events of a part of the corpus."""
    maker = SdkCompleter()
    made = [record_event(record, SUBJECT, Rules()) for _, record in corpus(pattern)]
    return [json.loads(maker.complete(encode_event(event, EncodeOptions()))) for event in made]


def stored_by(server) -> dict[str, dict]:
    """All events that the server holds."""
    return {event["event_id"]: event for issue in server.issues() for event in server.events(issue["id"])}


def test_the_schema_accepts_the_whole_corpus():
    """Every traceback of every interpreter and every logger becomes an event that Sentry's own schema accepts."""
    events = events_of("3.*/*.txt") + events_of("structured/*.jsonl")
    assert len(events) > 800
    assert [fault for fault in bugsink.validate(events) if fault] == []


def test_the_validator_can_refuse():
    """The schema is really asked: an event with frames that are not a list is refused."""
    assert "cannot be validated" in bugsink.validate([{"exception": {"values": [{"type": "E", "stacktrace": {"frames": 7}}]}}])[0]


async def test_a_strict_server_stores_the_corpus(server):
    """Each of more than 60 real tracebacks is stored, with the type and the frames that were sent."""
    events = events_of("3.14/*.txt")
    before = stored_by(server).keys()
    sentry = exporter(server.dsn)
    for number, event in enumerate(events):
        row = event_row(json.dumps(event).encode(), event["event_id"], seq=number)
        assert await sentry.export(row) == Accepted()
    await sentry.close()
    stored = stored_by(server)
    sent = {event["event_id"]: event for event in events}
    assert len(sent) == len(events) > 60
    assert stored.keys() - before == sent.keys()  # other tests send to the same server
    assert all(stored[key]["exception"]["values"] == sent[key]["exception"]["values"] for key in sent)


async def test_a_repeat_is_the_same_event(server):
    """A row that is sent again after a kill makes neither a second event nor a refusal."""
    event = events_of("3.13/simple.txt")[0] | {"event_id": "0" * 31 + "1"}
    row = event_row(json.dumps(event).encode(), event["event_id"])
    sentry = exporter(server.dsn)
    before = server.count()
    assert [await sentry.export(row) for _ in range(3)] == [Accepted()] * 3
    await sentry.close()
    assert server.count() == before + 1


async def test_a_wrong_key_pauses(server):
    """A DSN whose key the project does not know keeps the row and pauses the destination."""
    sentry = exporter(server.dsn.replace(server.dsn.split("//")[1].split("@")[0], "0" * 32))
    with pytest.raises(PausedError):
        await sentry.export(event_row(b"{}"))
    await sentry.close()


async def test_a_quota_is_obeyed(tmp_path):
    """Over the project's quota the row is kept and waits as long as the server says; nothing is sent meanwhile."""
    events = events_of("3.12/*.txt")[:5]
    with bugsink.running(tmp_path, MAX_EVENTS_PER_PROJECT_PER_5_MINUTES=3) as server:
        sentry = exporter(server.dsn)
        rows = [event_row(json.dumps(event).encode(), event["event_id"], seq=number) for number, event in enumerate(events)]
        taken = 0
        with pytest.raises(RetryableError) as refusal:  # noqa: PT012 - which of them is refused is the server's business
            for row in rows:
                await sentry.export(row)
                taken += 1
        assert 3 <= taken < 5
        assert 1 < refusal.value.after <= 300
        stored = server.count()
        with pytest.raises(RetryableError, match="rate limited"):
            await sentry.export(rows[-1])
        await sentry.close()
        assert server.count() == stored == taken


def test_a_wrapped_program_that_raises_is_one_issue(server, tmp_path):
    """`outrider exec` of a program that raises makes one issue of the right type, with its own file in the stack; its exit code comes through."""
    program = tmp_path / "trader.py"
    program.write_text("def route(order):\n    raise LookupError('no venue for ' + order)\n\nroute('XYZ')\n")
    before = {issue["id"] for issue in server.issues()}
    done = run_exec([sys.executable, str(program)], agent_environment(tmp_path / "state", server.dsn), cwd=tmp_path)
    assert done.returncode == 1
    new = [issue for issue in server.issues() if issue["id"] not in before]
    assert [issue["calculated_type"] for issue in new] == ["LookupError"]
    event = server.events(new[0]["id"])[0]
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    places = [(frame["function"], frame["module"], frame["in_app"]) for frame in frames]
    assert places == [("<module>", "__main__", True), ("route", "__main__", True)]
    assert frames[-1]["context_line"] == "    raise LookupError('no venue for ' + order)"
    assert (event["release"], event["environment"]) == ("strategy@1.2.3", "test")
    assert event["server_name"] == os.uname().nodename
