"""Starting and stopping: work survives a restart, and two services do not disturb each other."""

import asyncio
import os
import pty
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from bus.pull import EXPIRES
from ilios.nats.server import embedded
from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.running import ROOT, RunningService, running_service
from tests.waiting import wait_until


async def _submit(session: aiohttp.ClientSession, service: RunningService, words: str) -> str:
    form = aiohttp.FormData()
    form.add_field("file", documents.pdf(words), filename="a.pdf")
    async with session.post(f"{service.url}/api/documents/submit", data=form) as answer:
        assert answer.status == 202
        return str((await answer.json())["id"])


async def _state(session: aiohttp.ClientSession, service: RunningService, document: str) -> str:
    async with session.get(f"{service.url}/api/documents/status/{document}") as answer:
        assert answer.status == 200, "what was accepted is never unknown"
        return str((await answer.json())["status"])


@pytest.mark.slow
async def test_a_service_stopped_under_load_finishes_the_work_after_the_next_start(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service, aiohttp.ClientSession() as session:
        ids = await asyncio.gather(*(_submit(session, service, f"Word {n}") for n in range(60)))

        assert await service.stop() == 0

        await service.start()
        for number, document in enumerate(ids):

            async def completed(document: str = document) -> bool:
                return await _state(session, service, document) == "completed"

            await wait_until(completed, within=30)
            async with session.get(f"{service.url}/api/documents/{document}") as answer:
                assert (await answer.text()).strip() == f"Word {number}"


@pytest.mark.usefixtures("edge_in_core")
async def test_a_second_service_on_the_same_data_exits_with_advice(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path):
        code, _, errors = await run_ilios(tmp_path, "serve", PORT="0")

    assert code == 3
    assert "in use by another process" in errors
    assert "ILIOS_DATA_DIR" in errors


@pytest.mark.slow
async def test_a_second_service_just_like_the_first_is_not_sent_to_another_port(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        port = service.url.rpartition(":")[2]
        code, _, errors = await run_ilios(tmp_path, "serve", PORT=port)

    assert code == 3
    assert "in use by another process" in errors


@pytest.mark.slow
@pytest.mark.usefixtures("edge_in_core")
async def test_a_taken_port_is_reported_and_nothing_is_left_running(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path / "one") as service:
        port = service.url.rpartition(":")[2]
        code, _, errors = await run_ilios(tmp_path / "two", "serve", PORT=port)

    assert code == 3
    assert f"port {port}" in errors
    assert "PORT" in errors


@pytest.mark.slow
async def test_two_services_live_side_by_side(tmp_path: Path) -> None:
    async with (
        running_service(tmp_path / "one", ILIOS_NATS_PORT="4222") as one,
        running_service(tmp_path / "two", ILIOS_NATS_PORT="4222") as two,
        aiohttp.ClientSession() as session,
    ):
        mine = await _submit(session, one, "Mine")

        async with session.get(f"{two.url}/api/documents/status/{mine}") as answer:
            assert answer.status == 404


async def test_the_service_uses_a_configured_external_bus(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path / "bus", 0) as bus,
        running_service(tmp_path / "data", NATS_URL=bus.url("operator")) as service,
        aiohttp.ClientSession() as session,
    ):
        assert service.children("nats-server") == []
        document = await _submit(session, service, "By a bus of ours")

        async def completed() -> bool:
            return await _state(session, service, document) == "completed"

        await wait_until(completed, within=30)


@pytest.mark.slow
async def test_a_bus_that_another_database_is_written_from_is_refused(tmp_path: Path) -> None:
    async with running_service(tmp_path / "one"):
        address = (tmp_path / "one" / "nats" / "operator.url").read_text().strip()
        # Less than the seconds for which the server keeps a request of a reader that died.
        async with asyncio.timeout(EXPIRES - 1):
            code, _, errors = await run_ilios(tmp_path / "two", "serve", PORT="0", NATS_URL=address)

    assert code == 3
    assert "another ilios reads this bus" in errors


async def test_all_invalid_settings_are_named_at_once(tmp_path: Path) -> None:
    code, _, errors = await run_ilios(
        tmp_path, "check", PORT="many", WORKER_COUNT="0", DB_ENCRYPTION_KEY="k"
    )

    assert code == 2
    for variable in ("PORT", "WORKER_COUNT", "DB_ENCRYPTION_KEY"):
        assert variable in errors


async def test_check_shows_the_settings_in_effect_but_no_secret(tmp_path: Path) -> None:
    code, shown, _ = await run_ilios(
        tmp_path, "check", PORT="0", ILIOS_MAX_UPLOADS="8080", API_KEY="canary-of-the-mine"
    )

    assert code == 0
    assert "8080" in shown
    assert "***" in shown
    assert "canary" not in shown


async def test_closing_the_terminal_stops_the_service_in_order(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        # It becomes the controlling terminal: closing it sends SIGHUP.
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(2, termios.TIOCSCTTY, 0); "
        "os.execv(sys.executable, [sys.executable, '-m', 'ilios', 'serve'])",
        cwd="/",
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PORT": "0",
            "ILIOS_NATS_PORT": "0",
            "ILIOS_DATA_DIR": str(tmp_path),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        async for line in process.stdout:
            if b"Ctrl-C" in line:
                break
        os.close(ours)
        assert await process.wait() == 0


@pytest.mark.slow
async def test_a_service_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # children inherit what is ignored
    try:
        async with running_service(tmp_path) as service:
            status = Path(f"/proc/{service.pid}/status").read_text()
    finally:
        signal.signal(signal.SIGHUP, before)

    (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    assert int(ignored, 16) & 1 << signal.SIGHUP - 1
