"""Operators see the hosts of a service, pause roles, and drain hosts, by commands."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.connection import connect
from bus.micro import ask_all
from ilios.nats.server import NatsServer
from schemas.hosts import HostState, ServiceState
from tests.journeys.commands import run_ilios
from tests.journeys.running import PYTHON_PATH, RunningService, running_service
from tests.journeys.service_client import ServiceClient, document_states, wait_until_completed
from tests.journeys.worker_hosts import WorkerHost, core_and_workers, key_of
from tests.mistral.server import fake_mistral
from tests.volumes import fill, free, small_volume
from tests.waiting import wait_until


async def command(data_dir: Path, *arguments: str, **environ: str) -> str:
    """Run a command that succeeds, and return its output."""
    ended = await run_ilios(data_dir, *arguments, armed=None, **environ)
    assert ended.code == 0, ended.errors
    return ended.out


async def status(data_dir: Path, **environ: str) -> ServiceState:
    return msgspec.json.decode(
        await command(data_dir, "status", "--json", **environ), type=ServiceState
    )


async def process_of(host: str, data_dir: Path, **environ: str) -> HostState:
    (found,) = (one for one in (await status(data_dir, **environ)).hosts if one.host == host)
    return found


async def services(client: ServiceClient) -> dict[str, Any]:
    answer = await client.send("GET", "/health")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = msgspec.json.decode(answer.body)["services"]
    return found


@pytest.mark.slow
async def test_a_paused_role_takes_nothing_over_a_restart_and_loses_nothing(
    tmp_path: Path,
) -> None:
    async with (
        running_service(tmp_path, ILIOS_HOST_NAME="alone") as service,
        ServiceClient(service) as client,
    ):
        out = await command(tmp_path, "pause", "ocr", "--for", "2h")
        assert "ocr is paused until" in out
        accepted = [await client.is_accepted() for _ in range(3)]
        assert all(accepted)
        await service.kill("all")
        await service.start()
        found = await status(tmp_path)
        lane = next(one for one in found.lanes if (one.role, one.lane) == ("ocr", "normal"))
        assert (lane.waiting, lane.unfinished) == (3, 0)
        assert lane.oldest_seconds is not None
        assert lane.paused_until is not None
        assert [(one.host, one.roles["ocr"].taking) for one in found.hosts] == [("alone", False)]
        assert (await services(client))["ocr"].startswith("paused until")
        assert "completed" not in document_states(tmp_path / "ilios.db").values()
        await command(tmp_path, "resume", "ocr")
        await wait_until_completed(client, tmp_path)
        await wait_until(lambda: _takes_work(client))


async def _takes_work(client: ServiceClient) -> bool:
    return "ocr" not in await services(client)


@pytest.mark.slow
async def test_every_process_is_shown_and_a_drained_one_leaves_its_work_to_others(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    url = nats_server.url("operator")
    shared = {"NATS_URL": url, "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs")}
    async with (
        core_and_workers(tmp_path, shared | {"ILIOS_HOST_NAME": "one"}, 0) as (core, _),
        ServiceClient(core) as client,
    ):
        worker = WorkerHost(
            tmp_path / "worker",
            **shared | key_of(core.data_dir) | {"ILIOS_HOST_NAME": "two"},
            ILIOS_LOG_LEVEL="debug",
        )
        worker.log = tmp_path / "worker.log"
        await worker.start()
        try:
            nobody = await run_ilios(tmp_path / "x", "drain", "tow", NATS_URL=url)
            assert (nobody.code, "hosts that do: one, two" in nobody.errors) == (1, True)
            assert "nothing in hand" in await command(
                tmp_path / "x", "drain", "one", "--wait", "30", NATS_URL=url
            )
            accepted = [await client.is_accepted() for _ in range(6)]
            assert all(accepted)
            await wait_until_completed(client, core.data_dir)
            assert worker.converted == 6

            found = await status(tmp_path / "x", NATS_URL=url)
            assert [(one.host, one.kind, one.drained) for one in found.hosts] == [
                ("one", "core", True),
                ("two", "worker", False),
            ]
            assert found.drained == ["one"]
            assert {one.version for one in found.hosts} == {found.hosts[0].version}
            table = await command(tmp_path / "x", "status", NATS_URL=url)
            assert "takes none: the host is drained" in table
            assert await names_of_services(url) == {"ilios", "ilios-core", "ilios-worker"}

            await worker.kill("all")
            await command(tmp_path / "x", "drain", "one", "--undo", NATS_URL=url)
            assert await client.is_accepted()
            await wait_until_completed(client, core.data_dir)
        finally:
            await worker.stop()


async def names_of_services(url: str) -> set[str]:
    """Return what `nats micro ls` lists."""
    async with connect(url, name="operator") as connection:
        answers = await ask_all(connection, "$SRV.PING", 0.5)
    return {msgspec.json.decode(one)["name"] for one in answers}


@pytest.mark.long
async def test_a_host_without_room_or_engine_takes_no_work_until_it_is_cured(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    url = nats_server.url("operator")
    shared = {"NATS_URL": url, "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs")}

    async def reasons() -> str:
        ocr = (await process_of("two", tmp_path / "x", NATS_URL=url)).roles["ocr"]
        assert ocr.taking is not bool(ocr.reasons)
        return "; ".join(ocr.reasons)

    with small_volume(tmp_path / "worker", 64) as volume:
        async with core_and_workers(tmp_path, shared, 0) as (core, _):
            broken = break_engines(tmp_path / "customization")
            worker = WorkerHost(
                volume,
                **shared | key_of(core.data_dir),
                PYTHONPATH=f"{broken.parent}:{PYTHON_PATH}",
                ILIOS_HOST_NAME="two",
                ILIOS_RESERVE_MB="16",
            )
            await worker.start()
            try:
                assert (await reasons()).startswith("engine: ")
                assert b"engine: " in await unready(worker)
                broken.unlink()
                await wait_until(lambda: _is_empty(reasons))
                fill(volume)
                await wait_until(lambda: _is_full(reasons))
                assert b"no room for documents in work" in await unready(worker)
                free(volume)
                await wait_until(lambda: _is_empty(reasons))
            finally:
                await worker.stop()


@pytest.mark.slow
async def test_a_host_whose_key_is_refused_leaves_documents_to_others(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    url = nats_server.url("operator")
    async with fake_mistral() as fake:
        shared = {
            "NATS_URL": url,
            "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs"),
            "MISTRAL_SERVER_URL": fake.url,
        }
        async with (
            running_service(tmp_path / "core", **shared, MISTRAL_API_KEY=fake.key) as core,
            ServiceClient(core) as client,
        ):
            worker = WorkerHost(
                tmp_path / "worker",
                **shared | key_of(core.data_dir),
                MISTRAL_API_KEY="revoked",
                ILIOS_HOST_NAME="two",
            )
            await worker.start()
            try:
                found = await process_of("two", tmp_path / "x", NATS_URL=url)
                while found.roles["ocr"].taking:  # it finds out with the first document it gets
                    assert await client.is_accepted()
                    found = await process_of("two", tmp_path / "x", NATS_URL=url)
                assert "refuses the key in MISTRAL_API_KEY" in found.roles["ocr"].reasons[0]
                assert found.roles["fetcher"].taking
                assert b"MISTRAL_API_KEY" in await unready(worker)
                # What it had is tried elsewhere after a pause, and is not waited for here.
                client.accepted_texts.clear()
                accepted = [await client.is_accepted() for _ in range(3)]
                assert all(accepted)
                await wait_until(lambda: _are_completed(core, client), within=20)
            finally:
                await worker.stop()


def _are_completed(core: RunningService, client: ServiceClient) -> bool:
    states = document_states(core.data_dir / "ilios.db")
    return all(states.get(one) == "completed" for one in client.accepted_texts)


def break_engines(directory: Path) -> Path:
    """Have engine processes that find the directory end at their start, while the file is there."""
    directory.mkdir()
    broken = directory / "broken"
    broken.touch()
    (directory / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"if 'ilios.engines.local.child' in sys.orig_argv and os.path.exists({str(broken)!r}):\n"
        "    os._exit(3)\n"
    )
    return broken


async def _is_empty(reasons: Any) -> bool:
    return not await reasons()


async def _is_full(reasons: Any) -> bool:
    return str(await reasons()).startswith("no room for documents in work")


async def unready(worker: WorkerHost) -> bytes:
    async with ServiceClient(worker) as client:
        answer = await client.send("GET", "/readyz")
    assert answer.status == 503
    return answer.body


@pytest.mark.slow
async def test_the_state_is_watched_until_the_command_is_interrupted(tmp_path: Path) -> None:
    async with running_service(tmp_path):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "ilios", "status", "--watch", "--json"),
            cwd="/",
            env={"PYTHONPATH": PYTHON_PATH, "ILIOS_DATA_DIR": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    first, second = (msgspec.json.decode(line, type=ServiceState) for line in lines)
    assert first.at < second.at
    assert first.hosts[0].pid == second.hosts[0].pid


@pytest.mark.slow
async def test_a_bus_on_which_nothing_answers_is_an_error_of_status(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    silent, unreachable = await asyncio.gather(
        run_ilios(tmp_path, "status", NATS_URL=nats_server.url("operator")),
        run_ilios(tmp_path, "status", NATS_URL="nats://127.0.0.1:1"),
    )
    assert silent.code == unreachable.code == 3
    assert "no core and no worker answers" in silent.errors
    assert "cannot connect to the bus" in unreachable.errors
