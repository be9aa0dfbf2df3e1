"""Metrics of processes, as the kernel counts them (proc(5))."""

import os
from collections.abc import Iterable
from pathlib import Path

from ilios import __version__
from ilios.metrics.families import Family, counter, gauge

PROC = Path("/proc")


def process_families(name: str) -> list[Family]:
    """Return version, CPU time and memory of this process, which has this name."""
    labels = {"process": name}
    times = os.times()
    families = [
        gauge("ilios_build_info", "Version.", [({**labels, "version": __version__}, 1)]),
        counter(
            "ilios_process_cpu_seconds",
            "CPU time of a process, without that of engine processes.",
            [(labels, times.user + times.system)],
        ),
    ]
    memory = resident_bytes([os.getpid()])
    if memory is not None:
        families.append(
            gauge("ilios_process_resident_memory_bytes", "Memory of a process.", [(labels, memory)])
        )
    return families


def resident_bytes(pids: Iterable[int]) -> int | None:
    """Return the resident memory of processes; None where the kernel does not show it."""
    if not (PROC / "self" / "statm").exists():
        return None
    total = 0
    for pid in pids:
        try:
            pages = int((PROC / str(pid) / "statm").read_bytes().split()[1])
        except (OSError, IndexError):
            continue  # it has ended
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total
