"""Names that one part writes and another reads: `event.name` of the agent's own records, and the sources that emit them."""

from __future__ import annotations

from typing import Final

PROCESS_STARTED: Final = "outrider.process.started"
"""The agent has begun to watch a process."""
PROCESS_EXITED: Final = "outrider.process.exited"
"""A process has ended: the wrapped command, or one of the target's."""
PROCESS_OOM_KILLED: Final = "outrider.process.oom_killed"
"""The kernel has killed others in the cgroup of a process that lives on."""
PROBE_CHANGED: Final = "outrider.probe.changed"
"""A probe's target has gone up or down."""

CHILD: Final = "child"
"""The source that is the command of `exec`."""
TARGET: Final = "outrider.target"
"""The source of what is recorded about the processes of an observed target."""
