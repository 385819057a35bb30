"""How often the kernel has killed in a process's cgroup for want of memory: the proof that a SIGKILL was the OOM killer's.

cgroup v2: `oom_kill` in memory.events (kernel: admin-guide/cgroup-v2, "memory.events"); v1: `oom_kill` in memory.oom_control
(admin-guide/cgroup-v1/memory, section 10). Both count the cgroups below as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
PROC: Final = Path("/proc")


def memory_events(pid: int, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> Path | None:
    """The file that counts the OOM kills of a process's cgroup; None if there is none that we may read."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in sorted(lines, key=lambda line: line.startswith("0::")):  # a v1 memory controller first: where it is, v2 has none
        _, controllers, path = line.split(":", 2)
        for file in _candidates(controllers, path.lstrip("/"), cgroups):
            if oom_kills(file) is not None:
                return file
    return None


def _candidates(controllers: str, path: str, cgroups: Path) -> list[Path]:
    """Inside a container the path may be the host's; then what is mounted is the process's own cgroup."""
    if not controllers:
        return [cgroups / path / "memory.events", cgroups / "memory.events"]
    if "memory" in controllers.split(","):
        root = cgroups / "memory"
        return [root / path / "memory.oom_control", root / "memory.oom_control"]
    return []


def oom_kills(file: Path | None) -> int | None:
    """The count in such a file; None if it can't be read."""
    try:
        text = file.read_text(encoding="ascii") if file else ""
    except (OSError, ValueError):
        return None
    fields = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    count = fields.get("oom_kill", "")
    return int(count) if count.isdigit() else None
