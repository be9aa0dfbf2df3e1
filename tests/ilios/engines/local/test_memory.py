"""Lack of memory: the kernel kills a child, and the engine recognises the reason."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.engines import EngineCrashed
from ilios.engines.local import exit_status
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.exit_status import OomCounter
from ilios.engines.local.limits import GIB, MIB
from ilios.runtime import engine_memory
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument
from tests.ilios.engines.local.test_pool import ONE, hit, long, short, still_works

GROUPS = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LITTLE = 320 * MIB
"""Enough for the engine and a page of text, not for the bomb."""

CONFINED = """
import asyncio, json, os, sys
from pathlib import Path

Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))

from actors.engines import EngineCrashed, SourceFile
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.engine import LocalEngine

async def main():
    came = []
    async with LocalEngine(EngineLimits(processes=1)) as engine:
        for path in sys.argv[2:]:
            try:
                conversion = await engine.convert(SourceFile(Path(path), "application/pdf"))
                came.append(len(conversion.pages))
            except EngineCrashed as crash:
                came.append([crash.reason, crash.document_blamed, crash.out_of_memory])
        problem = engine.restarts.problem
    print(json.dumps({"came": came, "problem": problem}))

asyncio.run(main())
"""


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """Make a cgroup with a memory limit; skip the test where that is forbidden."""
    limits = {"memory.limit_in_bytes": LITTLE, "memory.memsw.limit_in_bytes": LITTLE}
    for root, settings in ((GROUPS[0], limits), (GROUPS[1], {"memory.max": LITTLE})):
        group = root / f"ilios-test-{os.getpid()}"
        try:
            if not (root / "cgroup.procs").exists():
                continue
            group.mkdir()
        except OSError:
            continue
        try:
            for name, value in settings.items():
                if (group / name).exists():
                    (group / name).write_text(str(value))
            if not (group / next(iter(settings))).exists():
                continue
            yield group
        finally:
            group.rmdir()
        return
    pytest.skip("no memory cgroup can be made here")


@pytest.mark.slow
def test_a_document_above_the_memory_of_the_cgroup_kills_only_its_child(
    little_memory: Path, place_document: PlaceDocument
) -> None:
    bomb = place_document(documents.bomb_pdf(300 * MIB), documents.PDF)
    good = short(place_document)
    ended = subprocess.run(
        [sys.executable, "-c", CONFINED, str(little_memory)]
        + [str(document.path) for document in (good, bomb, good, bomb, good)],
        capture_output=True,
        check=True,
        text=True,
        timeout=100,
    )
    came = json.loads(ended.stdout.splitlines()[-1])
    beyond = [exit_status.OOM_KILLED, False, True]
    assert came == {"came": [1, beyond, 1, beyond, 1], "problem": None}


def files(directory: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = directory / name.replace("__", "/").replace("_at_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


EVENTS = "low 0\nhigh 0\nmax 9\noom 4\noom_kill {}\noom_group_kill 0\n"


@pytest.mark.parametrize(
    ("membership", "place"),
    [
        ("0::/a/b\n", "a/b/memory.events"),
        ("0::/of/the/host\n", "memory.events"),
        ("4:memory:/a\n0::/\n", "memory/a/memory.oom_control"),
        ("4:cpu,memory:/of/the/host\n", "memory/memory.oom_control"),
    ],
)
def test_kills_are_counted_by_our_own_cgroup(tmp_path: Path, membership: str, place: str) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(membership)
    (proc / "vmstat").write_text("oom_kill 77\n")
    file = cgroups / place
    file.parent.mkdir(parents=True)
    file.write_text(EVENTS.format(2))
    counter = OomCounter(proc, cgroups)
    assert counter.kills() == 2
    file.write_text(EVENTS.format(3))
    assert counter.kills() == 3


def test_kills_are_counted_by_the_machine_where_no_cgroup_does(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("pgfault 5\noom_kill 7\n")
    assert OomCounter(tmp_path, tmp_path).kills() == 7
    (tmp_path / "vmstat").unlink()
    assert OomCounter(tmp_path, tmp_path).kills() == 0


def test_a_kill_means_lack_of_memory_only_if_the_kernel_counted_one() -> None:
    killed = exit_status.explain(-signal.SIGKILL, b"", oom_killed=True)
    assert isinstance(killed, EngineCrashed)
    assert (killed.out_of_memory, killed.document_blamed) == (True, False)
    plain = exit_status.explain(-signal.SIGKILL, b"")
    assert isinstance(plain, EngineCrashed)
    assert (plain.out_of_memory, plain.document_blamed) == (False, False)
    other = exit_status.explain(-signal.SIGSEGV, b"", oom_killed=True)
    assert isinstance(other, EngineCrashed)
    assert other.document_blamed


async def test_children_have_the_highest_oom_score(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        await still_works(engine, place_document)
        (pid,) = engine.child_pids
        assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"


async def test_a_document_whose_children_are_killed_does_not_make_the_engine_unhealthy(
    place_document: PlaceDocument,
) -> None:
    document = msgspec.structs.replace(long(place_document), tenant="aaa", document_id="one")
    async with LocalEngine(ONE) as engine:
        for _ in range(8):
            with pytest.raises(EngineCrashed):
                await engine.convert(document, hit(engine, signal.SIGKILL))
        assert engine.restarts.problem is None
        assert engine.restarts.recent_exits == 1
        await still_works(engine, place_document)


async def test_children_killed_during_many_documents_make_the_engine_unhealthy(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        for number in range(4):
            document = msgspec.structs.replace(long(place_document), document_id=f"{number}")
            with pytest.raises(EngineCrashed):
                await engine.convert(document, hit(engine, signal.SIGKILL))
        assert engine.restarts.recent_exits == 4
        assert engine.restarts.problem is not None


def test_engine_processes_share_the_available_memory() -> None:
    wanted = 2 * GIB
    assert engine_memory.bytes_per_process(wanted, 2, total_bytes=64 * GIB) == wanted
    assert (
        engine_memory.bytes_per_process(wanted, 4, total_bytes=8 * GIB)
        == (8 * GIB - 256 * MIB) // 5
    )
    # One that recognises text needs its gigabyte; that all do so at once is for the kernel to see.
    assert engine_memory.bytes_per_process(wanted, 4, total_bytes=4 * GIB) == GIB
    assert engine_memory.bytes_per_process(wanted, 1, total_bytes=768 * MIB) == 512 * MIB
    assert engine_memory.bytes_per_process(wanted, 1, total_bytes=64 * MIB) == 128 * MIB
    assert engine_memory.bytes_per_process(512 * MIB, 1, total_bytes=64 * GIB) == 512 * MIB


def test_by_default_no_more_processes_run_than_fit() -> None:
    assert engine_memory.fitting_processes(total_bytes=1300 * MIB) == 1
    assert engine_memory.fitting_processes(total_bytes=100 * MIB) == 1


def test_settings_above_the_available_memory_are_a_warning() -> None:
    environ = {"ILIOS_ENGINE_MEMORY_MB": "4096", "WORKER_COUNT": "4"}
    memory, count = engine_memory.warnings(environ, 4 * GIB, 4, total_bytes=4 * GIB)
    assert "ILIOS_ENGINE_MEMORY_MB: 4096" in memory
    assert "1024 MiB of the 3840 MiB" in memory
    assert "3 would fit" in count
    assert engine_memory.warnings(environ, 4 * GIB, 4, total_bytes=64 * GIB) == []
    assert engine_memory.warnings({}, 2 * GIB, 1, total_bytes=2 * GIB) == []
    (alone,) = engine_memory.warnings({}, 2 * GIB, 1, total_bytes=GIB)
    assert "out_of_memory" in alone
