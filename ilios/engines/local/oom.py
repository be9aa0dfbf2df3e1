"""How often the kernel has ended a process of this cgroup because memory had run out."""

from functools import cache
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
COUNTER = "oom_kill"


class OomCounter:
    """Reads the kernel's own counter, which goes up before the process it ends is gone."""

    def __init__(self, proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        self._file = _counter_file(proc, cgroups)

    def kills(self) -> int:
        """Return the count so far; 0 where nobody counts."""
        return _read(self._file) or 0


@cache
def cgroup_counter() -> OomCounter:
    """Return the counter of the cgroup this process and its children are in."""
    return OomCounter()


def _counter_file(proc: Path, cgroups: Path) -> Path:
    """Return the file of our cgroup that counts, or the machine's where there is none.

    Formats: ``memory.events`` of cgroups, version 2, or ``memory.oom_control`` of version 1;
    ``vmstat`` of proc(5).
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            candidates = _nearest(cgroups / "memory", path, "memory.oom_control")
        elif not controllers:
            candidates = _nearest(cgroups, path, "memory.events")
        else:
            continue
        for file in candidates:
            if _read(file) is not None:
                return file
    return proc / "vmstat"


def _nearest(root: Path, path: str, name: str) -> list[Path]:
    # In a container the path may be the host's, of which only the root is mounted here.
    within = Path(path.lstrip("/"))
    return [root / place / name for place in (within, *within.parents)]


def _read(file: Path) -> int | None:
    try:
        text = file.read_text()
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == COUNTER and value.isdecimal():
            return int(value)
    return None
