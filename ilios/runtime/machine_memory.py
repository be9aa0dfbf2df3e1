"""The memory of the machine or of our cgroup, and that of a process."""

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
UNKNOWN = 2 * 1024**3  # bytes; where neither can be read (not Linux): a small machine

_V2 = "memory.max"
_V1 = "memory.limit_in_bytes"


def limit_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Return the least of the machine's memory and the limits of our cgroup and those above it.

    Formats: proc(5) ``meminfo``, cgroups(7), and ``memory.max`` or, of version 1,
    ``memory.limit_in_bytes``. A file that cannot be read is no limit.
    """
    limits = [total for total in (_total(proc / "meminfo"),) if total]
    limits.extend(_cgroup_limits(proc / "self" / "cgroup", cgroups))
    return min(limits, default=UNKNOWN)


def resident_bytes(pid: int, proc: Path = PROC) -> int:
    """Return the resident memory of a process; 0 if it is gone or cannot be read."""
    for line in _lines(proc / str(pid) / "status"):
        name, _, rest = line.partition(":")
        if name == "VmRSS":
            return int(rest.split()[0]) * 1024
    return 0


def _total(meminfo: Path) -> int:
    for line in _lines(meminfo):
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) * 1024
    return 0


def _cgroup_limits(membership: Path, cgroups: Path) -> Iterator[int]:
    """Yield the limits of our cgroup and those above it, up to the mounted root."""
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _upwards(cgroups, path, _V2)
            yield from _upwards(cgroups / "unified", path, _V2)
        elif "memory" in controllers.split(","):
            yield from _upwards(cgroups / "memory", path, _V1)


def _upwards(root: Path, path: str, name: str) -> Iterator[int]:
    # In a container the path may be the host's, of which only the root is mounted: missing
    # directories are skipped.
    within = Path(path.lstrip("/"))
    for place in (within, *within.parents):
        for text in _lines(root / place / name):
            if text.isdecimal():  # "max" is no limit
                yield int(text)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
