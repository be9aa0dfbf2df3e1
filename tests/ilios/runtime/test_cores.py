"""The number of cores is that of this process, not that of the machine."""

import os
from pathlib import Path

import pytest

from ilios.runtime.cores import cores


def test_affinity_and_the_quotas_of_all_cgroups_above_limit_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    process = tmp_path / "cgroup"
    assert cores(tmp_path, process) == 8

    process.write_text("1:cpu:/old\n0::/slice/service\n")
    (tmp_path / "slice" / "service").mkdir(parents=True)
    (tmp_path / "slice" / "service" / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path, process) == 8
    (tmp_path / "slice" / "cpu.max").write_text("250000 100000\n")
    assert cores(tmp_path, process) == 3
    (tmp_path / "slice" / "service" / "cpu.max").write_text("10000 100000\n")
    assert cores(tmp_path, process) == 1

    monkeypatch.delattr(os, "sched_getaffinity")
    process.unlink()
    assert cores(tmp_path, process) == 64
