"""Names that one part writes and another reads: attributes, `event.name` of the agent's own records, and the sources that emit those.

Attributes without `outrider.` are OpenTelemetry's (semantic conventions), or follow its rules where it has none.
"""

from __future__ import annotations

from typing import Final

# --- attributes of the resource --------------------------------------------------------------------------------------------------------

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"
DEPLOYMENT_ENVIRONMENT_BEFORE: Final = "deployment.environment"
"""Its name in semantic conventions before 1.27, which older programs still write."""
HOST_NAME: Final = "host.name"
OS_TYPE: Final = "os.type"
CONTAINER_ID: Final = "container.id"

# --- attributes of records -------------------------------------------------------------------------------------------------------------

EVENT_NAME: Final = "event.name"
LOG_FILE_PATH: Final = "log.file.path"
LOG_STREAM: Final = "log.iostream"
"""`stdout` or `stderr`."""
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
PROCESS_PID: Final = "process.pid"
PROCESS_EXECUTABLE: Final = "process.executable.name"
PROCESS_CREATED: Final = "process.creation.time"
PROCESS_BEGAN: Final = "process.began"
"""The creation time in nanoseconds since the Unix epoch, exact: with the pid it identifies a process."""
EXIT_CODE: Final = "process.exit.code"
EXIT_SIGNAL: Final = "process.exit.signal"
EXIT_UNKNOWN: Final = "process.exit.unknown"
EXIT_REQUESTED: Final = "process.exit.requested"
EXIT_OOM_KILLS: Final = "process.exit.oom_kills"
TARGET_EMPTIED: Final = "outrider.target.emptied"
PROBE_NAME: Final = "probe.name"
PROBE_TARGET: Final = "probe.target"
HTTP_STATUS: Final = "http.response.status_code"

# --- events ----------------------------------------------------------------------------------------------------------------------------

PROCESS_STARTED: Final = "outrider.process.started"
"""The agent has begun to watch a process."""
PROCESS_EXITED: Final = "outrider.process.exited"
"""A process has ended: the wrapped command, or one of the target's."""
PROCESS_OOM_KILLED: Final = "outrider.process.oom_killed"
"""The kernel has killed others in the cgroup of a process that lives on."""
PROBE_CHANGED: Final = "outrider.probe.changed"
"""A probe's target has gone up or down."""

# --- sources ---------------------------------------------------------------------------------------------------------------------------

CHILD: Final = "child"
"""The source that is the command of `exec`."""
TARGET: Final = "outrider.target"
"""The source of what is recorded about the processes of an observed target."""
