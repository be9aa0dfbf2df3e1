"""The service as a child: its processes and no others are found; why it ended is reported."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ilios.chaos.processes import DidNotStart, IsolatedService, NoSuchProcess


@asynccontextmanager
async def sleeping(*arguments: str, **environ: str) -> AsyncIterator[int]:
    """Run a process that does nothing, with these arguments and this environment."""
    code = "import sys, time; print(); sys.stdout.flush(); time.sleep(600)"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *arguments,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every Python of the service end at its start."""
    (tmp_path / "patches").mkdir()
    code = "import os, sys\nsys.stderr.write('no disk in drive A\\n')\nos._exit(9)\n"
    (tmp_path / "patches" / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "patches"))


async def test_a_service_that_does_not_start_is_reported_with_its_last_log_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _broken(tmp_path, monkeypatch)
    service = IsolatedService(tmp_path)
    with pytest.raises(DidNotStart, match=r"code 9 (.|\n)*no disk in drive A"):
        await service.start()
    with pytest.raises(NoSuchProcess):
        service.pids("service")


async def test_a_process_that_outlives_the_service_is_found_and_ended(
    tmp_path: Path,
) -> None:
    service = IsolatedService(tmp_path)
    async with sleeping(TMPDIR=f"{tmp_path}/tmp/ilios-engine-1") as pid:
        (found,) = await service.leftover_processes(within=0.2)
        assert found.startswith(f"{pid} {sys.executable}")
        await service.kill_leftovers()
        assert await service.leftover_processes() == []


async def test_a_process_that_only_names_the_directory_is_left_alone(tmp_path: Path) -> None:
    service = IsolatedService(tmp_path)
    async with sleeping("--directory", str(tmp_path), PWD=str(tmp_path)) as pid:
        assert await service.leftover_processes() == []
        await service.kill_leftovers()
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "SR"


async def test_settings_of_the_shell_do_not_reach_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "patches").mkdir()
    code = "import os, sys\nsys.stderr.write(' '.join(sorted(os.environ)) + '\\n')\nos._exit(0)\n"
    (tmp_path / "patches" / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "patches"))
    monkeypatch.setenv("API_KEY", "secret")
    monkeypatch.setenv("NATS_URL", "nats://elsewhere:4222")
    service = IsolatedService(tmp_path)
    with pytest.raises(DidNotStart):
        await service.start()
    names = set(service.log_tail().split())
    assert "ILIOS_DATA_DIR" in names
    assert not names & {"API_KEY", "NATS_URL"}


def test_events_that_the_service_takes_for_lost_are_found_in_its_log(tmp_path: Path) -> None:
    service = IsolatedService(tmp_path)
    assert service.false_alarms() == []
    (tmp_path / "service.log").write_text(
        '{"level":"info","event":"edge listening"}\n{"level":"error","event":"events lost"}\n'
    )
    assert service.false_alarms() == ['{"level":"error","event":"events lost"}']
