"""Over OTLP it is known whose telemetry it is, and how a job has ended, however short it was."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.semconv.schemas import Schemas

from agent.record import SCHEMA_URL
from tests.support.agent_process import AgentProcess, environment, outrider, wait_until
from tests.support.otlp_process import OtlpProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics

pytestmark = pytest.mark.integration

BUSY = "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass\nprint('done'); raise SystemExit(3)"


@pytest.fixture
def server(tmp_path) -> Iterator[OtlpProcess]:
    """Where everything is sent."""
    with OtlpProcess(tmp_path / "received") as running:
        yield running


def attributes(resource) -> dict[str, object]:
    """A resource's attributes as plain values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in resource.attributes}


def collections(server: OtlpProcess) -> list[ResourceMetrics]:
    """Every collection of metrics that arrived, in order, once: what is accepted when the agent dies is sent again with the same bytes."""
    different = dict.fromkeys(server.bodies("metrics"))
    return [one for body in different for one in ExportMetricsServiceRequest.FromString(body).resource_metrics]


def metrics_of(found: ResourceMetrics) -> dict[str, Metric]:
    """The metrics of one collection by name."""
    return {metric.name: metric for scope in found.scope_metrics for metric in scope.metrics}


def test_a_short_job_sends_its_exit_and_its_cpu(server, tmp_path):
    """The usage of a job of half a second, and its exit, are in the last collection; the code is in the last record."""
    done = outrider("exec", "--", sys.executable, "-c", BUSY, state=tmp_path / "s", OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    last = metrics_of(collections(server)[-1])
    records = [
        record
        for body in server.bodies()
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs
        for record in resource.scope_logs[0].log_records
    ]

    assert done.returncode == 3
    assert [point.as_double or point.as_int for point in last["outrider.target.exits"].sum.data_points] == [1]
    assert sum(point.as_double for point in last["process.cpu.time"].sum.data_points) >= 0.5
    assert records[-1].event_name == "outrider.process.exited"
    assert {one.key: one.value.int_value for one in records[-1].attributes}["process.exit.code"] == 3
    accepted = {
        next(label.value.string_value for label in point.attributes if label.key == "source"): point.as_int
        for point in last["outrider.records.accepted"].sum.data_points
    }
    assert accepted["child"] == len(records)


def test_the_resource_names_the_process(server, tmp_path):
    """`exec` describes the command by the names of the conventions, in logs and metrics alike, under their schema's URL."""
    outrider("exec", "--", sys.executable, "-c", "print('x')", state=tmp_path / "s", OTEL_EXPORTER_OTLP_ENDPOINT=server.url)
    [logs] = ExportLogsServiceRequest.FromString(next(server.bodies())).resource_logs
    found = attributes(logs.resource)

    assert found["service.name"] == f"unknown_service:{sys.executable.rpartition('/')[2]}"
    assert found["os.type"] == "linux"
    assert isinstance(found["process.pid"], int)
    assert found["process.executable.name"].startswith("python")
    assert uuid.UUID(found["service.instance.id"])
    assert logs.schema_url == SCHEMA_URL == Schemas.V1_44_0.value
    assert {key: value for key, value in attributes(collections(server)[-1].resource).items() if key in found} == found


def test_what_the_configuration_says_stays(server, tmp_path):
    """No detected attribute takes the place of one that the user gave."""
    given = "service.name=shop,host.name=mine,service.instance.id=7,process.pid=none"
    outrider("exec", "--", "true", state=tmp_path / "s", OTEL_EXPORTER_OTLP_ENDPOINT=server.url, OTEL_RESOURCE_ATTRIBUTES=given)
    found = attributes(collections(server)[-1].resource)

    assert {key: found[key] for key in ("service.name", "host.name", "service.instance.id", "process.pid")} == {
        "service.name": "shop",
        "host.name": "mine",
        "service.instance.id": "7",
        "process.pid": "none",
    }


def test_an_instance_keeps_its_id_and_shares_it_with_none(server, tmp_path):
    """Two replicas write two series of each metric, and a restart continues the same one."""
    url = server.url
    for state in ("a", "b", "a"):
        outrider("exec", "--", "true", state=tmp_path / state, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_SERVICE_NAME="shop")
    ids = list(dict.fromkeys(attributes(one.resource)["service.instance.id"] for one in collections(server)))

    assert len(ids) == 2


def test_replicas_share_no_series(server, tmp_path):
    """Two agents of one service at the same time: no series arrives with two start times."""
    with ThreadPoolExecutor(2) as both:
        jobs = [
            both.submit(
                outrider,
                *("exec", "--", sys.executable, "-c", "import time; time.sleep(2)"),
                state=tmp_path / name,
                OTEL_EXPORTER_OTLP_ENDPOINT=server.url,
                OTEL_SERVICE_NAME="shop",
                OTEL_METRIC_EXPORT_INTERVAL="500",
            )
            for name in ("a", "b")
        ]
        assert [job.result().returncode for job in jobs] == [0, 0]
    starts: dict[tuple[object, ...], set[int]] = {}
    for found in collections(server):
        who = attributes(found.resource)["service.name"], attributes(found.resource)["service.instance.id"]
        for name, metric in metrics_of(found).items():
            for point in metric.sum.data_points:
                labels = tuple(sorted((one.key, str(one.value)) for one in point.attributes))
                starts.setdefault((who, name, labels), set()).add(point.start_time_unix_nano)

    assert len({key[0] for key in starts}) == 2
    assert {key: times for key, times in starts.items() if len(times) > 1} == {}


def test_a_stopped_sidecar_sends_its_last_figures(server, tmp_path):
    """SIGTERM collects once more: what was counted since the last interval arrives."""
    log = tmp_path / "app.log"
    log.write_text("")
    with AgentProcess(
        tmp_path / "s", OUTRIDER_LOG_FILES=str(log), OTEL_EXPORTER_OTLP_ENDPOINT=server.url, OTEL_METRIC_EXPORT_INTERVAL="60000"
    ) as agent:
        with log.open("a") as file:
            file.write('{"event":"one"}\n{"event":"two"}\n')
        wait_until(lambda: any(server.bodies()), "the lines arrive")
        agent.process.terminate()
        assert agent.process.wait(10) == 0
    points = metrics_of(collections(server)[-1])["outrider.records.accepted"].sum.data_points
    assert [point.as_int for point in points if "log_files" in str(point.attributes)] == [2]


def test_the_target_names_the_service(server, tmp_path):
    """A sidecar that watches one process names the service and the process after it."""
    with subprocess.Popen(["sleep", "60"], env=environment(tmp_path)) as target:
        try:
            with AgentProcess(tmp_path / "s", OUTRIDER_TARGET=f"pid:{target.pid}", OTEL_EXPORTER_OTLP_ENDPOINT=server.url):
                wait_until(lambda: any(server.bodies("metrics")), "metrics arrive")
        finally:
            target.kill()
    found = attributes(collections(server)[-1].resource)

    assert found["service.name"] == "unknown_service:sleep"
    assert (found["process.pid"], found["process.executable.name"]) == (target.pid, "sleep")
    assert found["process.creation.time"].endswith("Z")


def test_a_pod_log_is_about_its_pod(server, tmp_path):
    """Files of two pods in one batch keep their resources apart; the attributes that the user gave are on both."""
    for pod in ("shop-1", "shop-2"):
        file = tmp_path / f"pods/prod_{pod}_0b6e9f3a-5a0f-4c0c-9d0e-1f2a3b4c5d6e/app/0.log"
        file.parent.mkdir(parents=True)
        file.write_text('2026-11-29T10:00:00.0Z stdout F {"event":"one"}\n')
    with AgentProcess(
        tmp_path / "s",
        OUTRIDER_LOG_FILES=str(tmp_path / "pods/*/*/*.log"),
        OTEL_EXPORTER_OTLP_ENDPOINT=server.url,
        OTEL_RESOURCE_ATTRIBUTES="k8s.cluster.name=c1,k8s.namespace.name=given",
    ):
        wait_until(lambda: sum(body.count(b"shop-") for body in server.bodies()) >= 2, "both arrive")
    found = [attributes(one.resource) for body in server.bodies() for one in ExportLogsServiceRequest.FromString(body).resource_logs]

    assert sorted(one["k8s.pod.name"] for one in found) == ["shop-1", "shop-2"]
    assert {(one["k8s.cluster.name"], one["k8s.namespace.name"]) for one in found} == {("c1", "given")}


def test_deltas_add_up_over_a_kill(server, tmp_path):
    """With the delta preference, the records of two runs with a SIGKILL between them are counted once each."""
    log = tmp_path / "app.log"
    log.write_text("")
    variables = {
        "OUTRIDER_LOG_FILES": str(log),
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    }

    def counted() -> int:
        points = [
            point
            for one in collections(server)
            if (found := metrics_of(one).get("outrider.records.accepted")) is not None
            for point in found.sum.data_points
            if "log_files" in str(point.attributes)
        ]
        return sum(point.as_int for point in points)

    for word, end in (("first", signal.SIGKILL), ("second", signal.SIGTERM)):
        with AgentProcess(tmp_path / "s", **variables) as agent:
            with log.open("a") as file:
                file.write(f'{{"event":"{word}"}}\n' * 3)
            wait_until(lambda word=word: any(word.encode() in body for body in server.bodies()), "the lines arrive")
            agent.process.send_signal(end)
            agent.process.wait(10)
    assert counted() == 6
