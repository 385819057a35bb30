"""The real logrotate in every mode, with and without kills: each line and each header once."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.support.logrotate import faults, start
from tests.support.otlp_process import OtlpProcess
from tests.torture.check import plain
from tests.torture.scene import BAD_SERVER, Load, Scene

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def rotated_by_logrotate(folder: Path, seed: int, seconds: float, *, kills: bool) -> tuple[dict[str, str], str]:
    """Write and rotate in all modes at once; in what each was not read as it was written (empty = each line once), and a summary."""
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    with OtlpProcess(folder / "store", plan=BAD_SERVER) as server:
        scene = Scene(folder, Load(seed, 0, 0, 0, ways=()), server)
        writers = start(scene.logs, keep=1000)
        scene.introduce()
        agent = scene.start_agent()
        scene.wait_ready()
        for writer in writers:
            writer.start()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, chance.uniform(0.3, 2.5)) if kills else left)
            if kills:
                scene.kill(agent)
                agent = scene.start_agent()
        for writer in writers:
            writer.stop()
        scene.wait_ready()
        scene.wait_drained(sum(writer.lines + writer.files for writer in writers))
        agent.send_signal(signal.SIGTERM)
        agent.wait(timeout=30)
        numbers, headers = arrived(server.bodies())
    found = {writer.mode: faults(writer, numbers[writer.mode], headers[writer.mode]) for writer in writers}
    lines, rotations = sum(writer.lines for writer in writers), sum(writer.rotations for writer in writers)
    return found, f"{lines} lines, {rotations} rotations, {scene.kills} kills"


def arrived(bodies: Iterable[bytes]) -> tuple[dict[str, list[int]], Counter[str]]:
    """The numbers of the lines that arrived, and how many headers, by mode; a request that came again byte for byte is one."""
    numbers: dict[str, list[int]] = defaultdict(list)
    headers: Counter[str] = Counter()
    for body in dict.fromkeys(bodies):
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for log in (log for scope in resource.scope_logs for log in scope.log_records):
                attributes = {pair.key: plain(pair.value) for pair in log.attributes}
                if "n" in attributes:
                    numbers[str(attributes["mode"])].append(int(str(attributes["n"])))
                else:
                    headers[str(attributes["log.file.name"]).partition(".log")[0]] += 1
    return numbers, headers
