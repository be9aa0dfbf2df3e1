"""How much memory there is follows the machine, and every cgroup above us that limits it."""

import os
from pathlib import Path

import pytest

from ilios.runtime import machine_memory
from ilios.runtime.machine_memory import limit_bytes, resident_bytes

MIB = 1024 * 1024
MACHINE = 4096 * MIB


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine of 4 GiB without any limits: ``proc`` and ``cgroup`` below one directory."""
    write(tmp_path / "proc/meminfo", f"MemFree: 1 kB\nMemTotal:  {MACHINE // 1024} kB\n")
    return tmp_path


def limit_of(machine: Path, membership: str, **limits: str) -> int:
    write(machine / "proc/self/cgroup", membership)
    for place, limit in limits.items():
        write(machine / "cgroup" / place.replace("__", "/").replace("_", "."), limit)
    return limit_bytes(machine / "proc", machine / "cgroup")


def test_without_limits_the_machine_counts(machine: Path) -> None:
    assert limit_bytes(machine / "proc", machine / "cgroup") == MACHINE
    assert limit_of(machine, "0::/\n", memory_max="max\n") == MACHINE


def test_the_least_limit_on_the_way_up_counts(machine: Path) -> None:
    limits = {"memory_max": "max", "a__memory_max": str(300 * MIB), "a__b__memory_max": "max"}
    assert limit_of(machine, "0::/a/b\n", **limits) == 300 * MIB


def test_a_path_of_the_host_that_is_not_mounted_in_the_container_is_passed_over(
    machine: Path,
) -> None:
    assert limit_of(machine, "0::/../host/x\n", memory_max=str(200 * MIB)) == 200 * MIB


def test_the_first_version_of_cgroups_counts_as_well(machine: Path) -> None:
    write(machine / "cgroup/memory/a/memory.limit_in_bytes", f"{100 * MIB}\n")
    write(machine / "cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert limit_of(machine, "9:cpu:/b\n8:memory:/a\n0::/\n") == 100 * MIB


def test_without_information_a_small_machine_is_assumed(tmp_path: Path) -> None:
    assert limit_bytes(tmp_path, tmp_path) == machine_memory.UNKNOWN


def test_what_a_process_holds_is_read_from_the_system(tmp_path: Path) -> None:
    assert MIB < resident_bytes(os.getpid()) < limit_bytes()
    assert resident_bytes(os.getpid(), tmp_path) == 0
