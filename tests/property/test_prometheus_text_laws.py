"""The page against prometheus-client: its parsers must find what went in, and what its own writer writes must mean the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as write_text
from prometheus_client.openmetrics.exposition import generate_latest as write_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from agent.encode.prometheus_text import Family, Sample, number, render, wants_openmetrics

pytestmark = pytest.mark.property

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}[a-z]", fullmatch=True).filter(lambda name: not name.endswith(("_total", "_created", "_info")))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=20)
VALUES = st.floats() | st.integers(-(2**53), 2**53)
LABELS = st.dictionaries(NAMES, TEXTS, max_size=4)


@st.composite
def _gauges(draw) -> list[Family]:
    families = []
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        labels = draw(st.lists(LABELS, max_size=4, unique_by=lambda one: tuple(sorted(one.items()))))
        families.append(Family(name, "gauge", draw(TEXTS), [Sample("", one, draw(VALUES)) for one in labels]))
    return families


def _found(families) -> dict:
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def _wanted(families: list[Family]) -> dict:
    return {
        (family.name + one.suffix, tuple(sorted(one.labels.items()))): float(one.value) for family in families for one in family.samples
    }


def _same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        first[key] == second[key] or (math.isnan(first[key]) and math.isnan(second[key])) for key in first
    )


class _Theirs(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self):
        for family in self._families:
            metric = Metric(family.name, family.help, family.kind)
            for sample in family.samples:
                metric.add_sample(family.name + sample.suffix, dict(sample.labels), sample.value)
            yield metric


@given(_gauges())
def test_text_says_what_went_in(families):
    """Names, labels and values come back from the text format, whatever characters they hold, and so says the other writer."""
    ours = render(families, openmetrics=False).decode()
    assert _same(_found(parse_text(ours)), _wanted(families))
    assert _same(_found(parse_text(ours)), _found(parse_text(write_text(_Theirs(families)).decode())))


@given(_gauges())
def test_openmetrics_says_what_went_in(families):
    """The same in OpenMetrics."""
    ours = render(families, openmetrics=True).decode()
    assert _same(_found(parse_openmetrics(ours)), _wanted(families))
    assert _same(_found(parse_openmetrics(ours)), _found(parse_openmetrics(write_openmetrics(_Theirs(families)).decode())))


@given(VALUES)
def test_numbers_come_back(value):
    """A number that is written is read as itself."""
    back = float(number(value))
    assert back == float(value) or (math.isnan(back) and math.isnan(value))


@given(st.text(max_size=60))
def test_any_accept_header_is_an_answer(accept):
    """Whatever a client accepts, it gets one of both formats."""
    assert wants_openmetrics(accept) in (True, False)
