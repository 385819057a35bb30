from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent.errors import NoInputError, OutriderError, SpoolLockedError
from agent.record import Payload, Signal
from agent.spool.export import body_to_json
from agent.spool.offline import OfflineSpool
from agent.spool.spool import Spool
from agent.spool.values import DeadLetter


def request() -> bytes:
    """Make a request with one record that has a trace id."""
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = "grüße"
    record.severity_number = 9
    record.trace_id = bytes(range(16))
    return message.SerializeToString()


@pytest.fixture
async def state(tmp_path):
    """Make a stopped agent's state directory."""
    spool = await Spool.open(tmp_path)
    await spool.register("otlp", [Signal.LOGS])
    for _ in range(40):
        await spool.append("files", [Payload(Signal.LOGS, 1, request())], {}, {}, replayable=True)
    await spool.settle("otlp", await spool.next_row("otlp", Signal.LOGS), sent=0, dead=[DeadLetter("HTTP 400", 1)])
    await spool.close()
    return tmp_path


def test_export_is_otlp_json(state):
    """Exported rows are OTLP/JSON: hexadecimal ids, numbers for enumerations; progress is reported."""
    told = []
    with OfflineSpool(state) as spool:
        lines = [json.loads(line) for line in spool.export(Signal.LOGS, told.append)]
    assert len(lines) == told[-1] == 40
    record = lines[0]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert record == {"severityNumber": 9, "body": {"stringValue": "grüße"}, "traceId": bytes(range(16)).hex()}


async def test_running_spool_exports_the_same(state):
    """The running spool gives the same lines as the stopped one."""
    with OfflineSpool(state) as offline:
        expected = list(offline.export(Signal.LOGS))
    spool = await Spool.open(state)
    assert [line async for line in spool.export(Signal.LOGS)] == expected
    assert [row.seq for row in await spool.tail(Signal.LOGS, 38, 10)] == [39, 40]
    assert [row.seq for row in await spool.recent(Signal.LOGS, 2)] == [39, 40]
    await spool.close()


async def test_running_spool_serves_the_commands(state):
    """Figures, dead letters, requeue, discard and gc work through the running spool."""
    spool = await Spool.open(state)
    await spool.configure({})
    assert (await spool.stat()).orphans == ("otlp",)
    (letter,) = await spool.ask("dead-letters")
    assert json.loads(body_to_json(letter["signal"], await spool.ask("dead-letters/body", id="1")))["resourceLogs"]
    assert await spool.ask("dead-letters/requeue", id="1") == 41
    with pytest.raises(OutriderError, match="no dead letter"):
        await spool.ask("dead-letters/discard", id="1")
    with pytest.raises(OutriderError, match="40 records wait"):
        await spool.ask("gc", destination="otlp")
    assert await spool.ask("gc", destination="otlp", force="1") == 40
    assert (await spool.ledger()).violations() == ()
    await spool.close()


def test_stopped_spool_serves_the_commands(state):
    """The same commands work without an agent; configured destinations are not orphans."""
    with OfflineSpool(state, configured=["otlp"]) as spool:
        assert spool.stat().orphans == ()
        (letter,) = spool.ask("dead-letters")
        assert letter["id"] == 1
        assert spool.ask("dead-letters/body", id="1")[:2] == b"\x1f\x8b"
        spool.ask("dead-letters/discard", id="1")
        with pytest.raises(OutriderError, match="no dead letter"):
            spool.ask("dead-letters/requeue", id="1")
        with pytest.raises(OutriderError, match="configuration"):
            spool.ask("gc", destination="otlp")
    with OfflineSpool(state) as spool:
        assert spool.ask("gc", destination="otlp", force="1") == 39
        assert spool.stat().orphans == ()


async def test_running_agent_has_the_spool_to_itself(state):
    """While an agent runs the commands are refused with its name; without a spool there is none made."""
    spool = await Spool.open(state)
    with pytest.raises(SpoolLockedError, match="in use by process"):
        OfflineSpool(state)
    await spool.close()
    with pytest.raises(NoInputError, match="no spool in"):
        OfflineSpool(state / "elsewhere")
    assert not (state / "elsewhere").exists()


def test_envelope_is_exported_as_text():
    """A Sentry row becomes an object that holds the envelope; what is not gzip is refused."""
    from agent.spool.checksum import squeeze

    assert json.loads(body_to_json("sentry.error", squeeze(b'{"event_id":"1"}\n'))) == {
        "signal": "sentry.error",
        "envelope": '{"event_id":"1"}\n',
    }
    with pytest.raises(ValueError, match="not gzip"):
        body_to_json("logs", b"nonsense")
