"""The exporter: what is sent and when, what each answer leads to, and that every loss is counted."""

from __future__ import annotations

import json
import zlib

import pytest

from agent.component import Accepted
from agent.errors import PausedError, RejectedError, RetryableError, TooLargeError
from agent.issues.envelope.format import EnvelopeItem, decode
from agent.issues.envelope.items import check_in, payload
from agent.record import Signal
from agent.testing.clock import FakeClock
from agent.testing.exporters import make_row
from agent.testing.http_faults import RESET, answer
from agent.testing.sentry_server import SentryServer, limited
from tests.support.sentry import event_row, exporter

BODY = json.dumps({"message": "x", "event_id": "9ec79c33ec9942ab8353589fcb2e04dc"}).encode()


@pytest.fixture
async def server():
    """A server that takes everything."""
    async with SentryServer() as running:
        yield running


@pytest.fixture
async def sentry(server):
    """An exporter to it."""
    made = exporter(server.dsn(), clock=FakeClock())
    yield made
    await made.close()


def monitor_row():
    """A stored check-in."""
    made = payload(Signal.SENTRY_MONITOR, check_in("m", "ok", check_in_id="1" * 32, labels={}), service="strategy")
    return make_row(made.body, signal=Signal.SENTRY_MONITOR)


def reports(server):
    """The content of the client reports, as (reason, category, quantity)."""
    told = [event for item in server.items("client_report") for event in item.json()["discarded_events"]]
    return [(one["reason"], one["category"], one["quantity"]) for one in told]


async def test_what_goes_on_the_wire(server, sentry):
    """The stored item arrives as it is, packed, with the key in the header, `sent_at` once, and nothing that is only ours."""
    assert await sentry.export(event_row(BODY)) == Accepted()
    (taken,) = server.taken
    assert (taken.project, taken.key) == ("1", "public")
    assert taken.headers["content-type"] == "application/x-sentry-envelope"
    assert set(taken.envelope.headers) == {"event_id", "sent_at"}
    assert taken.body.count(b"sent_at") <= 1
    assert zlib.decompress(taken.body, wbits=31).count(b"sent_at") == 1
    assert taken.envelope.items[0].body == BODY


async def test_a_path_prefix(server):
    """A DSN with a path before the project reaches the server below that path."""
    sentry = exporter(server.dsn("7", prefix="/sentry/below"))
    await sentry.export(event_row(BODY))
    await sentry.close()
    assert server.taken[0].project == "7"
    assert server.log.requests[0].path == "/sentry/below/api/7/envelope/"


async def test_a_retry_differs_in_sent_at_only(server, sentry):
    """A row that is sent again is the same envelope except for the time of sending."""
    server.script.append(answer(503))
    row = event_row(BODY)
    with pytest.raises(RetryableError):
        await sentry.export(row)
    await sentry.export(row)
    first, second = (decode(zlib.decompress(one.body, wbits=31)) for one in server.log.requests)
    assert first.items == second.items
    assert first.headers["event_id"] == second.headers["event_id"]


async def test_release_and_environment_of_the_destination(server):
    """A destination's own release and environment replace those of the stored event."""
    sentry = exporter(server.dsn(), release="app@9", environment="staging")
    await sentry.export(event_row(json.dumps({"release": "app@1"}).encode()))
    await sentry.close()
    assert server.events() == [{"release": "app@9", "environment": "staging"}]


async def test_routing_by_service(server):
    """A destination for other services takes nothing of this one."""
    sentry = exporter(server.dsn(), services=["other"])
    assert await sentry.export(event_row(BODY)) == Accepted()
    await sentry.export(event_row(BODY, service="other"))
    await sentry.close()
    assert len(server.taken) == 1


ANSWERS = {
    400: RejectedError,
    401: PausedError,
    403: PausedError,
    404: PausedError,
    302: PausedError,
    408: RetryableError,
    500: RejectedError,
    502: RetryableError,
    503: RetryableError,
    504: RetryableError,
}


@pytest.mark.parametrize(("status", "error"), ANSWERS.items(), ids=map(str, ANSWERS))
async def test_answers(server, sentry, status, error):
    """Each status leads to what the contract has for it, and the message does not tell the key."""
    server.script.append(answer(status, b"no public here", {"X-Sentry-Error": "bad key public"}))
    with pytest.raises(error) as refusal:
        await sentry.export(event_row(BODY))
    assert type(refusal.value) is error
    assert "public" not in str(refusal.value)


async def test_no_answer(server, sentry):
    """A broken connection keeps the row."""
    server.script.append(RESET)
    with pytest.raises(RetryableError):
        await sentry.export(event_row(BODY))


async def test_no_envelope(sentry):
    """A row that holds no envelope is refused for good, not tried for ever."""
    with pytest.raises(RejectedError, match="no envelope"):
        await sentry.export(make_row(b"\x00\xff", signal=Signal.SENTRY_ERROR))


async def test_a_429_holds_errors_only(server, sentry):
    """A limit on errors makes errors wait as long as it says, and no check-in."""
    server.script.append(limited("40:error:project"))
    with pytest.raises(RetryableError) as refusal:
        await sentry.export(event_row(BODY))
    assert refusal.value.after == 40
    requests = len(server.log.requests)
    with pytest.raises(RetryableError):
        await sentry.export(event_row(BODY))
    assert len(server.log.requests) == requests
    assert (await sentry.export(monitor_row())).rejected == 0


async def test_a_limit_on_a_good_answer(server):
    """A 200 may carry a limit: the row is taken, and the next one waits until the limit has ended."""
    clock = FakeClock()
    sentry = exporter(server.dsn(), clock=clock)
    server.script.append(limited("30:error:project", 200))
    assert await sentry.export(event_row(BODY)) == Accepted()
    with pytest.raises(RetryableError):
        await sentry.export(event_row(BODY))
    await clock.advance(31)
    assert await sentry.export(event_row(BODY)) == Accepted()
    await sentry.close()


@pytest.mark.parametrize(("headers", "seconds"), [({}, 60), ({"Retry-After": "17"}, 17), ({"Retry-After": "nonsense"}, 60)])
async def test_a_429_without_limits(server, sentry, headers, seconds):
    """A 429 that names no category holds everything, for `Retry-After` or a minute."""
    server.script.append(answer(429, b"", headers))
    with pytest.raises(RetryableError) as refusal:
        await sentry.export(event_row(BODY))
    assert refusal.value.after == seconds
    assert (await sentry.export(monitor_row())).rejected == 1


async def test_what_is_of_no_use_later_is_dropped_and_reported(server, sentry):
    """A limited check-in is dropped and counted; the next envelope reports it, once."""
    server.script.append(limited("40:monitor:project"))
    assert (await sentry.export(monitor_row())).rejected == 1
    assert (await sentry.export(monitor_row())).rejected == 1
    await sentry.export(event_row(BODY))
    await sentry.export(event_row(BODY, "1" * 32))
    assert reports(server) == [("ratelimit_backoff", "monitor", 2)]


async def test_what_made_room_in_the_spool_is_reported(server):
    """Errors that were evicted before they were sent are reported with the next envelope, once."""
    evicted = {"sentry.error": 3, "logs": 7}

    async def account():
        return evicted

    sentry = exporter(server.dsn(), evicted=account)
    await sentry.export(event_row(BODY))
    evicted["sentry.error"] = 4
    await sentry.export(event_row(BODY, "1" * 32))
    await sentry.export(event_row(BODY, "2" * 32))
    await sentry.close()
    assert reports(server) == [("cache_overflow", "error", 3), ("cache_overflow", "error", 1)]


async def test_errors_are_not_held_for_ever(server):
    """An error that is limited for longer than `hold` becomes a dead letter, and is reported."""
    clock = FakeClock()
    sentry = exporter(server.dsn(), clock=clock, hold=100)
    server.script += [limited("60:error:project")] * 2
    for _ in range(2):
        with pytest.raises(RetryableError):
            await sentry.export(event_row(BODY))
        await clock.advance(60)
    server.script.append(limited("60:error:project"))
    with pytest.raises(RejectedError, match="rate limited"):
        await sentry.export(event_row(BODY))
    await clock.advance(61)
    assert (await sentry.export(event_row(BODY))).rejected == 0
    assert reports(server) == [("ratelimit_backoff", "error", 1)]
    await sentry.close()


async def test_limited_attachments_stay_behind(server, sentry):
    """Where attachments are limited the event goes without them, and they are reported."""
    server.script.append(limited("60:attachment:project", 200))
    await sentry.export(event_row(BODY))
    await sentry.export(event_row(BODY, "1" * 32, EnvelopeItem("attachment", b"lines", {"filename": "x"})))
    assert server.items("attachment") == []
    assert reports(server) == [("ratelimit_backoff", "attachment", 1)]


async def test_another_service_does_not_wait(server):
    """Rows about a service that this project does not take never wait for the project's limits."""
    sentry = exporter(server.dsn(), services=("router",))
    server.script.append(limited("60:error:project"))
    with pytest.raises(RetryableError):
        await sentry.export(event_row(BODY, service="router"))
    assert await sentry.export(event_row(BODY, service="strategy")) == Accepted()
    await sentry.close()


async def test_an_attachment_is_lost_once(server, sentry):
    """An attachment that a row goes without is one loss, however often the row is tried."""
    server.script += [limited("60:attachment:project", 200), answer(503), answer(503)]
    row = event_row(BODY, "1" * 32, EnvelopeItem("attachment", b"lines", {"filename": "x"}))
    await sentry.export(event_row(BODY))
    for _ in range(2):
        with pytest.raises(RetryableError):
            await sentry.export(row)
    await sentry.export(row)
    assert reports(server) == [("ratelimit_backoff", "attachment", 1)]


async def test_losses_outlive_a_kill(server):
    """The next agent needs only the account that was settled with the rows: it reports what was not reported, and nothing twice."""
    stored: dict[str, bytes] = {}

    async def positions():
        return stored

    first = exporter(server.dsn(), clock=FakeClock(), positions=positions)
    server.script.append(limited("40:monitor:project"))
    for _ in range(2):
        stored |= (await first.export(monitor_row())).positions
    await first.close()
    for event in ("1" * 32, "2" * 32):
        after = exporter(server.dsn(), clock=FakeClock(), positions=positions)
        stored |= (await after.export(event_row(BODY, event))).positions
        await after.close()
    assert reports(server) == [("ratelimit_backoff", "monitor", 2)]


async def test_a_check_says_what_came_of_it(server):
    """`check --send` tells when the event was taken, as whose where a project takes only others, and when it was refused."""
    sentry = exporter(server.dsn(), services=("test", "other"))
    assert await sentry.check() == "took the test event"
    assert len(server.events()) == 1
    await sentry.close()
    filtered = exporter(server.dsn(), services=("other",))
    assert await filtered.check() == "took the test event of other; what is about test does not go there"
    await filtered.close()
    assert len(server.events()) == 2
    server.script.append(answer(403))
    unwelcome = exporter(server.dsn())
    with pytest.raises(PausedError):
        await unwelcome.check()
    await unwelcome.close()


async def test_a_413_is_answered_by_trimming():
    """An envelope that is too large loses its attachments first, then its breadcrumbs, and arrives."""
    event = {"message": "x", "breadcrumbs": {"values": [{"message": "y" * 5000}]}}
    async with SentryServer(limit=2000) as server:
        sentry = exporter(server.dsn())
        await sentry.export(event_row(json.dumps(event).encode(), "1" * 32, EnvelopeItem("attachment", b"z" * 5000, {"filename": "x"})))
        await sentry.close()
        assert server.events() == [{"message": "x"}]
        assert server.items("attachment") == []
        assert len(server.log.requests) == 3


async def test_a_413_to_the_end():
    """An envelope that is too large even when trimmed is refused for good."""
    async with SentryServer(limit=10) as server:
        sentry = exporter(server.dsn())
        with pytest.raises(TooLargeError):
            await sentry.export(event_row(BODY))
        await sentry.close()


async def test_our_own_limit(server):
    """An envelope over the destination's own limit is trimmed before it is sent."""
    sentry = exporter(server.dsn(), max_envelope_size=1000)
    await sentry.export(event_row(BODY, "1" * 32, EnvelopeItem("attachment", b"z" * 5000, {"filename": "x"})))
    await sentry.close()
    assert server.items("attachment") == []
    assert len(server.log.requests) == 1
