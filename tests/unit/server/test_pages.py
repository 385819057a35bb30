from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from agent.net.server_message import ServerRequest, ServerResponse
from agent.server.html import ago, quantity, render, span, state
from agent.server.pages import status_routes
from agent.status import DestinationFacts, Figure, NoticeFacts, ProbeFacts, SourceFacts, SpoolFacts, Status

NOW = 1_700_000_000_000_000_000
HOSTILE = "<script>alert('x')</script>\"&\x1b[31m"

STATUS = Status(
    version="0.1.0",
    pid=42,
    started_ns=NOW - 3_600_000_000_000,
    now_ns=NOW,
    state_dir="/var/lib/outrider",
    resource={"service.name": "strategy-agent", "service.version": "1.2"},
    spool=SpoolFacts("ok", used=5 << 20, quota=1 << 30, rows=12, oldest_ns=NOW - 90_000_000_000),
    sources=(SourceFacts("app", "log_files", running=True, accepted=1234567, lag_seconds=0.25, drops={"malformed_json": 3}),),
    destinations=(DestinationFacts("otlp", "logs", "ok", sent=1234000, pending=567, last_success_ns=NOW - 2_000_000_000),),
    probes=(ProbeFacts("web", "http://app/health", "up", success=True, reason="", seconds=0.012, time_ns=NOW - 4_000_000_000),),
    figures=(Figure("process.memory.usage", 52_428_800, "By", {"target": "pid:7"}), Figure("process.cpu.time", 1.5, "s")),
    notices=(NoticeFacts(NOW - 5_000_000_000, "error", "component failed", {"component": "app", "error": "boom"}),),
)
BACK_LATER = replace(STATUS.destinations[0], state="retrying", last_error="HTTP 503")


class Reader(HTMLParser):
    """Collects tags and text, and holds the page to being well-formed."""

    VOID = frozenset({"meta", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


async def _ask(path: str, status: Status = STATUS, query: dict | None = None) -> ServerResponse:
    async def read() -> Status:
        return status

    response = await status_routes(read)[f"GET {path}"](ServerRequest("GET", path, query or {}))
    assert isinstance(response.body, bytes)
    return response


async def test_the_page_tells_the_facts():
    """One well-formed page holds the verdict, sources, destinations, probes, figures and last errors."""
    page = Reader((await _ask("/")).body.decode())
    assert page.open == []
    for fact in ("strategy-agent", "ready", "1,234,567", "malformed_json 3", "567", "2 s ago", "http://app/health", "50.0 MiB", "boom"):
        assert fact in page.text


async def test_the_page_needs_no_script_and_no_colour():
    """Nothing runs and nothing is loaded from elsewhere; tables have headers; a state is shown by a word."""
    page = Reader((await _ask("/")).body.decode())
    names = [tag for tag, _ in page.tags]
    assert "script" not in names
    assert all(
        not value.startswith(("http:", "//")) for _, attributes in page.tags for key, value in attributes.items() if key in ("href", "src")
    )
    assert names.count("h1") == 1
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.tags if tag == "th")
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes} <= set(identifiers)


async def test_everything_from_outside_is_escaped():
    """No text that comes from data, configuration or a server's answer becomes markup."""
    hostile = replace(
        STATUS,
        resource={"service.name": HOSTILE, HOSTILE: HOSTILE},
        state_dir=HOSTILE,
        spool=SpoolFacts(HOSTILE, reason=HOSTILE),
        sources=(SourceFacts(HOSTILE, HOSTILE, running=False, reason=HOSTILE, drops={HOSTILE: 1}),),
        destinations=(DestinationFacts(HOSTILE, HOSTILE, HOSTILE, last_error=HOSTILE, last_error_ns=NOW),),
        probes=(ProbeFacts(HOSTILE, HOSTILE, HOSTILE, success=False, reason=HOSTILE, seconds=1, time_ns=NOW),),
        figures=(Figure(HOSTILE, 1, HOSTILE, {HOSTILE: HOSTILE}),),
        violations=(HOSTILE,),
        notices=(NoticeFacts(NOW, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),),
    )
    page = render(hostile)
    assert "<script" not in page
    assert Reader(page).open == []
    assert {tag for tag, _ in Reader(page).tags} == {tag for tag, _ in Reader(render(replace(STATUS, destinations=(BACK_LATER,)))).tags}


async def test_an_empty_agent_has_a_page():
    """Without any component the page says so instead of showing empty tables."""
    empty = replace(STATUS, sources=(), destinations=(), probes=(), figures=(), notices=())
    page = Reader((await _ask("/", empty)).body.decode())
    assert "None configured: everything stays in the spool." in page.text


@pytest.mark.parametrize(("refresh", "wanted"), [("10", True), ("", False), ("x", False), ("99999", False), ("\u0663", False)])
async def test_the_page_reloads_itself_only_when_asked(refresh, wanted):
    """`?refresh=10` is the only way to a page that changes under its reader."""
    body = (await _ask("/", query={"refresh": refresh})).body.decode()
    assert ('http-equiv="refresh"' in body) is wanted


async def test_json_has_the_same_facts():
    """Programs get what the page shows."""
    found = json.loads((await _ask("/status.json")).body)
    assert found["verdict"] == {"health": "ready", "reasons": []}
    assert found["sources"][0]["accepted"] == 1234567
    assert found["destinations"][0]["last_success_ns"] == NOW - 2_000_000_000
    assert found["notices"][0]["details"]["error"] == "boom"


@pytest.mark.parametrize(
    ("change", "query", "code", "health"),
    [
        ({}, {}, 200, "ready"),
        ({"destinations": (BACK_LATER,)}, {}, 200, "degraded"),
        ({"destinations": (BACK_LATER,)}, {"strict": "1"}, 503, "degraded"),
        ({"spool": SpoolFacts("degraded", reason="disk gone")}, {}, 503, "not ready"),
        ({"spool": SpoolFacts("full")}, {}, 200, "degraded"),
        ({"sources": (SourceFacts("app", "log_files", running=False),)}, {}, 503, "not ready"),
        ({"sources": (SourceFacts("app", "log_files", running=True, troubles=("/a can't be read",)),)}, {}, 200, "degraded"),
        ({"absent": (("process_tree", "name:app is not there now"),)}, {}, 200, "degraded"),
        ({"violations": ("app → otlp: 1 missing",)}, {}, 200, "degraded"),
    ],
)
async def test_readiness_is_honest(change, query, code, health):
    """The agent is not ready exactly if it does not store records; a destination that is away is a reason of `degraded`, with its last success."""
    response = await _ask("/readyz", replace(STATUS, **change), query)
    found = json.loads(response.body)
    assert (response.status, found["status"], bool(found["reasons"])) == (code, health, health != "ready")
    assert found["last_success_seconds"] == {"otlp/logs": 2.0}


async def test_a_destination_that_never_worked_is_told_as_such():
    """No success since the start is not the same as a long time ago."""
    never = DestinationFacts("otlp", "logs", "retrying", pending=5, last_error="HTTP 503")
    found = json.loads((await _ask("/readyz", replace(STATUS, destinations=(never,)))).body)
    assert found["last_success_seconds"] == {"otlp/logs": None}
    assert found["reasons"] == ["destination otlp (logs): retrying; no success since start; 5 records waiting: HTTP 503"]


async def test_alive_asks_nobody():
    """`/healthz` answers although nothing else can be read."""

    async def read() -> Status:
        raise AssertionError

    response = await status_routes(read)["GET /healthz"](ServerRequest("GET", "/healthz"))
    assert (response.status, response.body) == (200, b"ok\n")


async def test_style_and_icon_are_served():
    """The files that the page refers to exist."""
    for path in ("/static/style.css", "/static/icon.svg"):
        assert (await _ask(path)).body
        assert f'"{path}"' in render(STATUS)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.012, "12 ms"), (1, "1 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_spans_are_short(seconds, text):
    """A length of time takes one unit."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "By", "0 B"),
        (1536, "By", "1.5 KiB"),
        (1 << 30, "By", "1.0 GiB"),
        (12, "{thread}", "12"),
        (1.25, "s", "1.250 s"),
        (3, "", "3"),
    ],
)
def test_quantities_have_their_unit(value, unit, text):
    """Bytes get a binary prefix, other units stay as UCUM says."""
    assert quantity(value, unit) == text


def test_ago_has_the_exact_time_behind_it():
    """The relative time is for people; the exact one is there too; a clock that was set back gives no negative time."""
    assert 'datetime="2023-11-14T22:13:20Z"' in ago(NOW, NOW + 5_000_000_000)
    assert "0 ms ago" in ago(NOW + 5, NOW)
    assert ago(None, NOW) == "never"


@pytest.mark.parametrize(("word", "kind"), [("ok", "good"), ("retrying", "middle"), ("paused", "bad"), ("down", "bad")])
def test_states_are_words(word, kind):
    """The class gives the colour, the word the meaning."""
    assert kind in state(word)
    assert word in state(word)
