from __future__ import annotations

import threading
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.errors import SpoolError
from agent.metrics import Kind, Metric, Metrics, Observation
from agent.net.server_message import ServerRequest
from agent.server.prometheus import Collection, MetricsPage, answerable, family_name, label_name, unit_word
from agent.testing.clock import START_NS, FakeClock

GOLDEN = Path(__file__).parents[2] / "golden" / "metrics"
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

SENT = Metric("outrider.records.sent", Kind.COUNTER, "{record}", "Records that a destination has.")
MEMORY = Metric("process.memory.usage", Kind.GAUGE, "By", 'Resident\nset "size" \\ of a tree.')
CPU = Metric("process.cpu.time", Kind.COUNTER, "s", "Processor time.")
PENDING = Metric("outrider.records.pending", Kind.UPDOWN, "{record}", "Records that wait.")
PROBE = Metric("probe_success", Kind.GAUGE, "", "Whether the probe succeeded.")
TIME = Metric("probe_duration_seconds", Kind.GAUGE, "s", "How long the probe took.")


@pytest.fixture
def metrics() -> Metrics:
    """One metric of each kind, with labels that need escaping."""
    metrics = Metrics({"service.name": "app", "service.instance.id": "1"}, FakeClock())
    observations = [
        Observation(MEMORY, 4096, {"process.name": 'we"ird\\na\nme'}),
        Observation(CPU, 1.25, {"cpu.mode": "user"}, START_NS - 10**9),
        Observation(SENT, 3, {"source": "a", "destination": "b", "signal": "logs"}),
        Observation(PENDING, 0),
        Observation(PROBE, 1, {"target": "http://x/"}),
        Observation(TIME, 0.25, {"target": "http://x/"}),
    ]
    metrics.publish("test", observations)
    return metrics


async def _page(metrics: Metrics, accept: str = "") -> tuple[str, str]:
    response = await MetricsPage(metrics)(ServerRequest("GET", "/metrics", {}, {"accept": accept}))
    assert isinstance(response.body, bytes)
    return response.content_type, response.body.decode()


@pytest.mark.parametrize(("accept", "file"), [("", "page.txt"), (OPENMETRICS, "page.openmetrics.txt")])
async def test_page_is_as_saved(metrics, accept, file):
    """The page, byte for byte, in both formats: names, types, help, units, escapes, start times."""
    _, text = await _page(metrics, accept)
    assert text == (GOLDEN / file).read_text()


async def test_text_can_be_parsed(metrics):
    """The text format is read back by another implementation, with the label values that went in."""
    content_type, text = await _page(metrics)
    found = {sample.name: sample for family in parse_text(text) for sample in family.samples}
    assert content_type.startswith("text/plain; version=0.0.4")
    assert found["process_memory_usage_bytes"].labels == {"process_name": 'we"ird\\na\nme'}
    assert not any(name.endswith("_created") for name in found)


async def test_openmetrics_can_be_parsed(metrics):
    """OpenMetrics is read back by another implementation; counters say since when they count."""
    content_type, text = await _page(metrics, OPENMETRICS)
    found = {sample.name: sample.value for family in parse_openmetrics(text) for sample in family.samples}
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert found["process_cpu_time_seconds_created"] == pytest.approx(START_NS / 1e9 - 1)
    assert found["outrider_records_sent_created"] == pytest.approx(START_NS / 1e9)


async def test_histogram_is_cumulative(metrics):
    """Buckets count everything below their bound, and the last one everything."""
    row = Metric("export.duration", Kind.HISTOGRAM, "s", "A time.", (0.1, 1.0))
    for value in (0.05, 0.5, 5.0):
        metrics.record(row, value, {"destination": "a"})
    _, text = await _page(metrics, OPENMETRICS)
    found = {(s.name, s.labels.get("le")): s.value for family in parse_openmetrics(text) for s in family.samples}
    buckets = [found[("export_duration_seconds_bucket", bound)] for bound in ("0.1", "1.0", "+Inf")]
    assert (buckets, found[("export_duration_seconds_count", None)]) == ([1, 2, 3], 3)


async def test_a_published_histogram_is_cumulative_too(metrics):
    """Counts of single buckets are summed up as the format has it."""
    metrics.publish("scraped", [Observation(Metric("wait", Kind.HISTOGRAM, "s", "Waits.", (0.1, 1.0)), 2.5, {}, 0, (3, 0, 1))])
    _, text = await _page(metrics)
    assert [line for line in text.splitlines() if line.startswith("wait_seconds")] == [
        'wait_seconds_bucket{le="0.1"} 3.0',
        'wait_seconds_bucket{le="1.0"} 3.0',
        'wait_seconds_bucket{le="+Inf"} 4.0',
        "wait_seconds_count 4.0",
        "wait_seconds_sum 2.5",
    ]


async def test_attributes_that_become_one_label_are_joined(metrics):
    """`a.b` and `a_b` are one label in Prometheus; both values stay, joined as the specification says."""
    metrics.publish("test", [Observation(PROBE, 1, {"a_b": "2", "a.b": "1"})])
    _, text = await _page(metrics)
    assert 'probe_success{a_b="1;2"} 1.0' in text


@pytest.mark.parametrize(
    ("name", "unit", "kind", "wanted"),
    [
        ("outrider.records.accepted", "{record}", "counter", "outrider_records_accepted"),
        ("process.cpu.time", "s", "counter", "process_cpu_time_seconds"),
        ("process.memory.usage", "By", "gauge", "process_memory_usage_bytes"),
        ("probe_duration_seconds", "s", "gauge", "probe_duration_seconds"),
        ("probe_success", "", "gauge", "probe_success"),
        ("cpu.utilization", "1", "gauge", "cpu_utilization_ratio"),
        ("things", "1", "counter", "things"),
        ("requests_total", "", "counter", "requests"),
        ("network.rate", "By/s", "gauge", "network_rate_bytes_per_second"),
        ("temp", "Cel", "gauge", "temp_celsius"),
        ("process.thread.count", "{thread}", "gauge", "process_threads"),
        ("2nd..name--x", "", "gauge", "_2nd_name_x"),
        ("job:rate", "", "gauge", "job_rate"),
    ],
)
def test_names_follow_the_specification(name, unit, kind, wanted):
    """OpenTelemetry names become Prometheus names with the unit at the end."""
    assert family_name(name, unit, kind) == wanted


def test_odd_units_and_labels_stay_valid():
    """Units without a word and keys that are not valid label names become valid ones."""
    assert unit_word("m/{thing}", "gauge") == "m"
    assert unit_word("k-W", "gauge") == "k_W"
    assert label_name("9.lives") == "key_9_lives"
    assert label_name("http.status-code") == "http_status_code"
    assert [label_name(key) for key in ("__name__", "..x", "ä", "_x", "", "…")] == ["key_name__", "key_x", "_", "_x", "key_", "_"]


@pytest.mark.parametrize("trouble", [None, SpoolError("gone"), TimeoutError()])
async def test_figures_are_fresh_but_never_waited_for_in_vain(metrics, trouble):
    """A scrape refreshes the figures that are read on demand; if that fails it gets the previous ones."""

    async def refresh() -> None:
        if trouble:
            raise trouble
        metrics.publish("test", [Observation(PROBE, 0)])

    response = await MetricsPage(metrics, refresh)(ServerRequest("GET", "/metrics"))
    wanted = b'probe_success{target="http://x/"} 1.0' if trouble else b"probe_success 0.0"
    assert wanted in response.body


PROMETHEUS_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2"


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
        ("application/openmetrics-text;version=one", False),
        ("application/openmetrics-text;version=1.0.0;q=0", False),
        ("application/openmetrics-text;version=1.0.0;q=0.000", False),
        ("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.9", False),
        ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text ; q=0.3", False),
        ("application/openmetrics-text;q=0.3,text/plain", False),
        ("application/openmetrics-text;q=0.9,text/plain;version=0.0.4;q=0.3", True),
        ("application/openmetrics-text;q=0.3,*/*;q=0.9", True),
        ("application/openmetrics-text;q=much,text/plain;q=0.9", True),
        (OPENMETRICS, True),
        (PROMETHEUS_3, True),
        (";;;,=,q=,", False),
    ],
)
async def test_the_format_is_negotiated(metrics, accept, wanted):
    """A client that lists the written version of OpenMetrics gets it, any other the older format; as Prometheus 2 and 3 ask."""
    content_type, text = await _page(metrics, accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0") is wanted
    assert text.endswith("# EOF\n") is wanted


def test_only_what_is_not_written_is_left_out_of_the_question():
    """Items that prometheus-client answers rightly reach it unchanged and in order."""
    assert answerable(PROMETHEUS_3) == PROMETHEUS_3
    assert answerable("application/openmetrics-text;version=2.0.0,text/plain;q=0.1") == "text/plain;q=0.1"


async def test_names_do_not_depend_on_the_escaping(metrics):
    """Our names need no escaping, so that whatever scheme but the marking ones a client offers, it reads the same page."""
    pages = {
        (await _page(metrics, f"application/openmetrics-text;version=1.0.0;escaping={one}"))[1] for one in ("underscores", "allow-utf-8")
    }
    assert len(pages) == 1


def test_nothing_is_collected_from_the_global_registry():
    """prometheus-client's import puts collectors for our own process into its registry; they start no thread and stay out of the page."""
    names = {thread.name for thread in threading.enumerate()}
    assert not any("prometheus" in name.lower() for name in names)
    assert not any(family.name.startswith("python_") for family in Collection(Metrics({}, FakeClock()), created=False).collect())
