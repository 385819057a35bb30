from __future__ import annotations

from math import inf, nan

import pytest

from agent.encode.prometheus_text import Family, Sample, number, render, wants_openmetrics

COUNTER = Family("sent", "counter", 'Says "so"\n\\.', [Sample("_total", {"b": 'x"\\\n', "a": "1"}, 3), Sample("_created", {}, 1.5)])
INFO = Family("target", "info", "Target.", [Sample("_info", {"service_name": "app"}, 1)])


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=1.0.0;q=0", False),
        ("application/openmetrics-text;version=1.0.0;q=0.000", False),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
        ),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2", True),
        (";;;,=,q=,", False),
    ],
)
def test_the_format_is_negotiated(accept, wanted):
    """OpenMetrics for who names it in the version that we write, the older format for everybody else; as Prometheus 2 and 3 ask."""
    assert wants_openmetrics(accept) is wanted


def test_openmetrics_speaks_of_families():
    """The family is named without the suffix of its samples; the page has an end; quotes in help texts are escaped."""
    assert render([INFO, COUNTER], openmetrics=True).decode() == (
        "# HELP target Target.\n# TYPE target info\n"
        'target_info{service_name="app"} 1\n'
        '# HELP sent Says \\"so\\"\\n\\\\.\n# TYPE sent counter\n'
        'sent_total{a="1",b="x\\"\\\\\\n"} 3\nsent_created 1.5\n# EOF\n'
    )


def test_the_older_format_speaks_of_samples():
    """The type belongs to the sample's name; there is no info, and no end."""
    assert render([INFO, COUNTER._replace(samples=COUNTER.samples[:1])], openmetrics=False).decode() == (
        "# HELP target_info Target.\n# TYPE target_info gauge\n"
        'target_info{service_name="app"} 1\n'
        '# HELP sent_total Says "so"\\n\\\\.\n# TYPE sent_total counter\n'
        'sent_total{a="1",b="x\\"\\\\\\n"} 3\n'
    )


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (0.5, "0.5"), (True, "1"), (inf, "+Inf"), (-inf, "-Inf"), (nan, "NaN"), (1e300, "1e+300")]
)
def test_numbers_are_written_as_prometheus_reads_them(value, text):
    """Also those that are none."""
    assert number(value) == text
