"""The page as another reader sees it: what went in comes out, whatever characters it holds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.metrics import Kind, Metric, Metrics, Observation
from agent.net.server_message import ServerRequest
from agent.server.prometheus import MetricsPage
from agent.testing.clock import FakeClock

pytestmark = pytest.mark.property

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}[a-z]", fullmatch=True).filter(
    lambda name: not name.endswith(("_total", "_created", "_info", "_count"))
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=20)
VALUES = st.floats() | st.integers(-(2**53), 2**53)
LABELS = st.dictionaries(NAMES, TEXTS, max_size=4)
ACCEPTS = ("text/plain", "application/openmetrics-text", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8")


@st.composite
def _observations(draw) -> list[Observation]:
    found = []
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        row = Metric(f"x_{name}", draw(st.sampled_from([Kind.GAUGE, Kind.UPDOWN])), "", draw(TEXTS))
        for labels in draw(st.lists(LABELS, max_size=4, unique_by=lambda one: tuple(sorted(one.items())))):
            found.append(Observation(row, draw(VALUES), labels))
    return found


async def _page(observations: list[Observation], accept: str) -> str:
    metrics = Metrics({}, FakeClock())
    metrics.publish("test", observations)
    response = await MetricsPage(metrics)(ServerRequest("GET", "/metrics", {}, {"accept": accept}))
    return response.body.decode()


def _same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        first[key] == second[key] or (math.isnan(first[key]) and math.isnan(second[key])) for key in first
    )


@pytest.mark.parametrize("accept", ACCEPTS)
@given(observations=_observations())
async def test_the_page_says_what_went_in(accept, observations):
    """Names, labels and values come back from either format, whatever characters they hold."""
    parse = parse_text if accept == "text/plain" else parse_openmetrics
    families = parse(await _page(observations, accept))
    found = {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}
    wanted = {(one.metric.name, tuple(sorted(one.attributes.items()))): float(one.value) for one in observations}
    assert _same({key: value for key, value in found.items() if key[0] != "target_info"}, wanted)


HEADERS = st.lists(
    st.sampled_from([*"; =,./*", "text/plain", "application/openmetrics-text", "version", "q", "escaping", "1", "0", "x", "é"]), max_size=20
)


@given(st.text(max_size=60) | HEADERS.map("".join))
async def test_any_accept_header_is_an_answer(accept):
    """Whatever a client accepts, it gets one of both formats."""
    assert "# TYPE target" in await _page([], accept)
