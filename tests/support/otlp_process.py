"""An OTLP server as a process of its own, so that it is neither killed with the agent nor measured with it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from agent.testing.otlp_server import read_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class OtlpProcess:
    """`with OtlpProcess(file) as server`: listens on loopback, stores what it accepts in `file`."""

    def __init__(self, store: Path, *, plan: str = "", core: int | None = None) -> None:
        self.store = store
        self._plan = plan
        self._core = core

    def __enter__(self) -> Self:
        command = [
            sys.executable,
            "-m",
            "agent.testing.otlp_server",
            "--store",
            str(self.store),
            *(["--plan", self._plan] if self._plan else []),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        if self._core is not None:
            os.sched_setaffinity(self._process.pid, {self._core})
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def url(self) -> str:
        """The base URL, for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    def bodies(self, signal: str = "logs") -> Iterator[bytes]:
        """The accepted requests of a signal, uncompressed, in order."""
        return (one.unpacked() for one in read_store(self.store) if one.path.endswith(f"/{signal}"))
