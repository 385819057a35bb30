"""Shows what pytest-benchmark's table has no column for: percentiles, hit rates, cost per symbol."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write one line per benchmark that noted something of its own."""
    session = getattr(config, "_benchmarksession", None)
    for benchmark in session.benchmarks if session else ():
        if benchmark.extra_info:
            figures = ", ".join(f"{name}={value:g}" for name, value in benchmark.extra_info.items())
            terminalreporter.write_line(f"{benchmark.name}: {figures}")
