"""How often the kernel has killed in a process's cgroup because it was out of memory: the proof that a SIGKILL was the OOM killer's.

cgroup v2: `oom_kill` in memory.events (kernel: admin-guide/cgroup-v2, "memory.events"); v1: `oom_kill` in memory.oom_control
(admin-guide/cgroup-v1/memory, section 10). Both count the cgroups below as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
PROC: Final = Path("/proc")


def memory_events(pid: int, *, proc: Path = PROC, cgroups: Path = CGROUPS, bystander: bool = False) -> Path | None:
    """The file that counts the OOM kills of a process's cgroup; None if there is none that we may read.

    A process in a container may see the host's path, and what is mounted is then its own cgroup. For a `bystander` that is so only if the
    process is in the bystander's own cgroup: our cgroup's count proves nothing about another one.
    """
    lines = _lines(proc / str(pid) / "cgroup")
    own = _lines(proc / "self" / "cgroup") if bystander else lines
    for line in sorted(lines, key=lambda line: line.startswith("0::")):  # a v1 memory controller first: where it is, v2 has none
        _, controllers, path = line.split(":", 2)
        for file in _candidates(controllers, path.lstrip("/"), cgroups, shared=line in own):
            if oom_kills(file) is not None:
                return file
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _candidates(controllers: str, path: str, cgroups: Path, *, shared: bool) -> list[Path]:
    if not controllers:
        root, name = cgroups, "memory.events"
    elif "memory" in controllers.split(","):
        root, name = cgroups / "memory", "memory.oom_control"
    else:
        return []
    inside = [root / path / name] if ".." not in path.split("/") else []  # "/../x" is outside of what our namespace shows
    return [*inside, root / name] if shared else inside


def oom_kills(file: Path | None) -> int | None:
    """The count in such a file; None if it can't be read."""
    try:
        text = file.read_text(encoding="ascii") if file else ""
    except (OSError, ValueError):
        return None
    fields = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    count = fields.get("oom_kill", "")
    return int(count) if count.isdigit() else None
