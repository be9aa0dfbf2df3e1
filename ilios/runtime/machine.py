"""What the kernel reports: cores and memory of the machine or our cgroup, and use by a process."""

import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
UNKNOWN = 2 * 1024**3  # bytes; where neither can be read (not Linux): a small machine

BUSY_SHARE = 0.02  # of a core; an idle or hung nats-server takes a tenth of that

_V2 = "memory.max"
_V1 = "memory.limit_in_bytes"
_ON_DISK = "D"  # waits for a device, which takes no CPU
_TICKS = os.sysconf("SC_CLK_TCK")


def cores(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Return the number of cores by affinity and by the quotas of cgroup v2."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every platform
    found: int = len(affinity(0)) if affinity else os.cpu_count() or 1
    # A quota limits everything below it, so those above ours count as well.
    for file in cgroup_files("cpu", "cpu.max", proc=proc, cgroups=cgroups):
        found = min(found, _quota(file))
    return max(1, found)


def limit_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Return the least of the machine's memory and the limits of our cgroup and those above it.

    Formats: proc(5) ``meminfo``, cgroups(7), and ``memory.max`` or, of version 1,
    ``memory.limit_in_bytes``. A file that cannot be read is no limit.
    """
    limits = [total for total in (_total(proc / "meminfo"),) if total]
    for file in cgroup_files("memory", _V2, _V1, proc=proc, cgroups=cgroups):
        limits.extend(int(text) for text in _lines(file) if text.isdecimal())  # "max" is no limit
    return min(limits, default=UNKNOWN)


def resident_bytes(pid: int, proc: Path = PROC) -> int:
    """Return the resident memory of a process; 0 if it is gone or cannot be read."""
    for line in _lines(proc / str(pid) / "status"):
        name, _, rest = line.partition(":")
        if name == "VmRSS":
            return int(rest.split()[0]) * 1024
    return 0


def cgroup_files(
    controller: str,
    name: str,
    name_v1: str | None = None,
    *,
    proc: Path = PROC,
    cgroups: Path = CGROUPS,
) -> Iterator[Path]:
    """Yield the paths of a file of our cgroup and those above it, up to the mounted root.

    Some of them may not exist: in a container our path may be the host's, of which only the root is
    mounted.

    :param name_v1: its name in version 1 of cgroups, if it has one.
    """
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _upwards(cgroups, path, name)
            yield from _upwards(cgroups / "unified", path, name)
        elif name_v1 is not None and controller in controllers.split(","):
            yield from _upwards(cgroups / controller, path, name_v1)


class ProcessActivity(NamedTuple):
    """The CPU time and state of a process at one moment. Times are seconds.

    A process that does not answer but makes progress is slow, and must not be killed.
    """

    at: float
    cpu: float
    waits_for_disk: bool

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the activity of a process; one that cannot be read (not Linux, or gone) has none.

        Format: proc(5), ``/proc/[pid]/stat``.
        """
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return cls(time.monotonic(), 0.0, waits_for_disk=False)
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        return cls(time.monotonic(), cpu, waits_for_disk=fields[0] == _ON_DISK)

    def progressed_since(self, earlier: "ProcessActivity") -> bool:
        """Whether the process made progress since an earlier moment."""
        return self.waits_for_disk or self.cpu - earlier.cpu > BUSY_SHARE * (self.at - earlier.at)


def _quota(file: Path) -> int:
    """Return the cores allowed by ``<microseconds> <period>`` or ``max <period>`` in a file."""
    try:
        quota, period = file.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return sys.maxsize


def _total(meminfo: Path) -> int:
    for line in _lines(meminfo):
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) * 1024
    return 0


def _upwards(root: Path, path: str, name: str) -> Iterator[Path]:
    within = Path(path.lstrip("/"))
    return (root / place / name for place in (within, *within.parents))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
