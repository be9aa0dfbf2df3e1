"""Cores, memory and activity, as the kernel reports them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ilios.runtime.machine import UNKNOWN, ProcessActivity, cores, limit_bytes, resident_bytes
from tests.waiting import wait_until

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


def test_without_a_limit_the_memory_of_the_machine_counts(machine: Path) -> None:
    assert limit_bytes(machine / "proc", machine / "cgroup") == MACHINE
    assert limit_of(machine, "0::/\n", memory_max="max\n") == MACHINE


def test_the_lowest_limit_of_all_parent_cgroups_counts(machine: Path) -> None:
    limits = {"memory_max": "max", "a__memory_max": str(300 * MIB), "a__b__memory_max": "max"}
    assert limit_of(machine, "0::/a/b\n", **limits) == 300 * MIB


def test_a_cgroup_that_is_not_mounted_in_the_container_is_skipped(machine: Path) -> None:
    assert limit_of(machine, "0::/../host/x\n", memory_max=str(200 * MIB)) == 200 * MIB


def test_limits_of_cgroups_version_1_count_as_well(machine: Path) -> None:
    write(machine / "cgroup/memory/a/memory.limit_in_bytes", f"{100 * MIB}\n")
    write(machine / "cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert limit_of(machine, "9:cpu:/b\n8:memory:/a\n0::/\n") == 100 * MIB


def test_without_information_a_small_machine_is_assumed(tmp_path: Path) -> None:
    assert limit_bytes(tmp_path, tmp_path) == UNKNOWN


def test_the_memory_of_a_process_is_read_from_proc(tmp_path: Path) -> None:
    assert MIB < resident_bytes(os.getpid()) < limit_bytes()
    assert resident_bytes(os.getpid(), tmp_path) == 0


def test_affinity_and_the_quotas_of_all_parent_cgroups_limit_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    process = tmp_path / "proc/self/cgroup"
    process.parent.mkdir(parents=True)
    assert cores(tmp_path / "proc", tmp_path) == 8

    process.write_text("1:cpu:/old\n0::/slice/service\n")
    (tmp_path / "slice" / "service").mkdir(parents=True)
    (tmp_path / "slice" / "service" / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path / "proc", tmp_path) == 8
    (tmp_path / "slice" / "cpu.max").write_text("250000 100000\n")
    assert cores(tmp_path / "proc", tmp_path) == 3
    (tmp_path / "slice" / "service" / "cpu.max").write_text("10000 100000\n")
    assert cores(tmp_path / "proc", tmp_path) == 1

    monkeypatch.delattr(os, "sched_getaffinity")
    process.unlink()
    assert cores(tmp_path / "proc", tmp_path) == 64


@asynccontextmanager
async def python(code: str) -> AsyncIterator[int]:
    """Run ``code`` in another process; yield its id."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def test_a_busy_process_makes_progress() -> None:
    async with python("while True: pass") as pid:
        before = ProcessActivity.of(pid)
        await wait_until(lambda: ProcessActivity.of(pid).cpu > before.cpu)
        assert ProcessActivity.of(pid).progressed_since(before)


async def test_an_idle_process_makes_no_progress() -> None:
    async with python("print(flush=True); import signal; signal.pause()") as pid:
        before = ProcessActivity.of(pid)

        def rests() -> bool:
            nonlocal before
            now = ProcessActivity.of(pid)
            if now.cpu > before.cpu:  # it was still starting
                before = now
            return now.at - before.at > 0.3

        await wait_until(rests)
        assert not ProcessActivity.of(pid).progressed_since(before)


def test_a_process_that_waits_for_a_disk_makes_progress() -> None:
    assert ProcessActivity(9.0, 0.0, waits_for_disk=True).progressed_since(
        ProcessActivity(0.0, 0.0, waits_for_disk=False)
    )


async def test_a_process_that_is_gone_has_no_activity() -> None:
    async with python("") as pid:
        pass
    assert ProcessActivity.of(pid).cpu == 0.0
