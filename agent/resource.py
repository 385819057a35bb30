"""Resource detection: the attributes that say which workload the telemetry is about, where the configuration does not.

Names and rules are OpenTelemetry's: resource/sdk.md, "Detecting resource information from the environment"; semantic conventions, "Resource".
Without them two replicas would write the same series. An attribute lasts as long as what it names: nothing here changes while the agent runs.
Values that the configuration gives always win.
"""

from __future__ import annotations

import re
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.names import CONTAINER_ID, HOST_NAME, OS_TYPE, PROCESS_CREATED, PROCESS_EXECUTABLE
from agent.target.ending import PROC, began_ns, read_stat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.record import Value

UNKNOWN: Final = "unknown_service"
"""`service.name` where nothing is known (semantic conventions, "Service")."""

_KUBERNETES: Final = {
    "k8s.namespace.name": ("K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "POD_NAMESPACE", "MY_POD_NAMESPACE"),
    "k8s.pod.name": ("K8S_POD_NAME", "POD_NAME", "MY_POD_NAME", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME"),
    "k8s.pod.uid": ("K8S_POD_UID", "POD_UID", "MY_POD_UID"),
    "k8s.node.name": ("K8S_NODE_NAME", "NODE_NAME", "MY_NODE_NAME", "KUBE_NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME"),
    "k8s.container.name": ("K8S_CONTAINER_NAME",),
}
"""Variables by which the downward API is usually asked for these attributes: Kubernetes' documentation, the operator and the Collector's charts."""
_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_POD_UID: Final = re.compile(r"/pods/([0-9a-f]{8}-[0-9a-f-]{27})/")
"""In a path that kubelet mounts into each container of a pod, such as its /etc/hosts."""
_CONTAINER_ID: Final = re.compile(r"(?<![0-9a-f])([0-9a-f]{64})(?![0-9a-f])")
_MOUNTED_FILES: Final = (" /etc/hostname ", " /etc/hosts ", " /etc/resolv.conf ")
"""Files that an engine mounts from the container's own directory, whose name is its id."""
_LITERAL: Final = re.compile(r"(?<![\\\w])[A-Za-z_][\w.-]*\w")


def service_name(target: str, command: Sequence[str] = ()) -> str:
    """`unknown_service:NAME` with the name of the watched process (semantic conventions, "Service"); `unknown_service` if it has none.

    For a target that may come later, or again, the name is the one that the configuration uses, so that it stays the same.
    """
    name = Path(command[0]).name if command else _target_name(target)
    return f"{UNKNOWN}:{name}" if name else UNKNOWN


def _target_name(target: str) -> str:
    kind, _, rest = target.partition(":")
    if kind == "pid":
        return process(int(rest)).get(PROCESS_EXECUTABLE, "")
    if kind == "name":
        found = _LITERAL.search(rest)
        return found.group() if found else ""
    name = Path(rest).name
    for suffix in (".pid", ".service", ".scope", ".slice"):
        name = name.removesuffix(suffix)
    return "" if _CONTAINER_ID.search(name) else name


def environment(env: Mapping[str, str], proc: Path = PROC) -> dict[str, str]:
    """`host.name`, `os.type`, and `k8s.*` where the agent runs in a pod: the workload's pod is the agent's."""
    found = {HOST_NAME: socket.gethostname(), OS_TYPE: "linux"}
    if "KUBERNETES_SERVICE_HOST" not in env:
        return found
    known = {key: next((env[name] for name in names if env.get(name)), "") for key, names in _KUBERNETES.items()}
    known["k8s.namespace.name"] = known["k8s.namespace.name"] or _text(_NAMESPACE).strip()
    uid = _POD_UID.search(_text(proc / "self" / "mountinfo"))
    known["k8s.pod.uid"] = known["k8s.pod.uid"] or (uid.group(1) if uid else "")
    return found | {key: value for key, value in known.items() if value}


def process(pid: int, proc: Path = PROC) -> dict[str, str]:
    """`process.*` of one process, and the `container.id` that it runs in; empty if there is no such process, or it may not be read."""
    stat = read_stat(pid, proc)
    if stat is None:
        return {}
    found = {
        PROCESS_EXECUTABLE: stat.name,
        PROCESS_CREATED: iso(began_ns(stat.start, time.time_ns())),
    }
    try:
        path = str((proc / str(pid) / "exe").readlink()).removesuffix(" (deleted)")
        found |= {"process.executable.path": path, PROCESS_EXECUTABLE: Path(path).name}
    except OSError:
        pass  # another user's process: the kernel's name for it remains
    if container := container_id(pid, proc):
        found[CONTAINER_ID] = container
    return found


def container_id(pid: int, proc: Path = PROC) -> str:
    """The id of the container that a process runs in, 64 hexadecimal digits; "" outside of one, and where its namespaces hide it.

    From its cgroup's path (version 1, or 2 seen from outside), else from the files that the engine mounts into the container.
    """
    place = proc / str(pid)
    found = _CONTAINER_ID.search(_text(place / "cgroup"))
    if found is None:
        mounts = (line for line in _text(place / "mountinfo").splitlines() if any(name in line for name in _MOUNTED_FILES))
        found = next(filter(None, map(_CONTAINER_ID.search, mounts)), None)
    return found.group(1) if found else ""


_PODS: Final = re.compile(r"/pods/([^/_]+)_([^/_]+)_([0-9a-f-]{32,36})/([^/]+)/(\d+)\.log")
"""kubelet's own tree: namespace, pod, its uid, container, restarts (kubernetes/pkg/kubelet/kuberuntime, "buildContainerLogsPath")."""
_LINKS: Final = re.compile(r"/containers/([^/_]+)_([^/_]+)_(.+)-([0-9a-f]{64})\.log$")
"""Its links for collectors: pod, namespace, container, id."""
_ENGINES: Final = re.compile(r"/(?:containers|overlay-containers)/([0-9a-f]{64})/")
"""Docker's and Podman's directories of a container."""


def of_log_path(*paths: str) -> dict[str, Value]:
    """`k8s.*` and `container.id` of the container whose output a log file is, by the names of its path, whatever links lead to it."""
    found: dict[str, Value] = {}
    for path in paths:
        if match := _PODS.search(path):
            namespace, pod, uid, container, restarts = match.groups()
            found |= {"k8s.namespace.name": namespace, "k8s.pod.name": pod, "k8s.pod.uid": uid, "k8s.container.name": container}
            found["k8s.container.restart_count"] = int(restarts)
        elif match := _LINKS.search(path):
            pod, namespace, container, number = match.groups()
            found |= {"k8s.namespace.name": namespace, "k8s.pod.name": pod, "k8s.container.name": container, CONTAINER_ID: number}
        elif match := _ENGINES.search(path):
            found[CONTAINER_ID] = match.group(1)
    return found


def iso(time_ns: int) -> str:
    """A moment as ISO 8601 with milliseconds, in UTC."""
    return datetime.fromtimestamp(time_ns // 10**6 / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
