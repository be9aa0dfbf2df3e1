"""The number of cores this process may use."""

import math
import os
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CGROUP_OF_PROCESS = Path("/proc/self/cgroup")


def cores(mount: Path = CGROUPS, process: Path = CGROUP_OF_PROCESS) -> int:
    """Return the number of cores by affinity and by the quotas of cgroup v2."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every platform
    found: int = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        lines = process.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("0::"):
            group = Path(line.removeprefix("0::").lstrip("/"))
            # A quota limits everything below it, so those above ours count as well.
            for above in (group, *group.parents):
                found = min(found, _quota(mount / above / "cpu.max"))
    return max(1, found)


def _quota(file: Path) -> int:
    """Return the cores allowed by ``<microseconds> <period>`` or ``max <period>`` in a file."""
    try:
        quota, period = file.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return sys.maxsize
