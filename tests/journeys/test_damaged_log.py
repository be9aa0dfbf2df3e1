"""A log that has lost events on disk is reported, with the documents that are affected."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bus.streams import EVENTS
from ilios.nats.access import operator_connection
from ilios.settings.environ import from_environ
from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.data_directory import DAY, change
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import (
    FREQUENT_JANITOR,
    Client,
    kill_with_unfinished,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

STREAM = Path("nats/jetstream/jetstream/ILIOS/streams/ILIOS_EVENTS")
WITHIN = 60.0  # seconds

Damage = Callable[[Path], object]


def flip(path: Path) -> None:
    """Flip a bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def flip_a_bit(data: Path) -> None:
    flip(data / STREAM / "msgs" / "1.blk")


def flip_a_bit_without_index(data: Path) -> None:
    flip_a_bit(data)
    (data / STREAM / "msgs" / "index.db").unlink(missing_ok=True)


def cut_in_half(data: Path) -> None:
    path = data / STREAM / "msgs" / "1.blk"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove_block(data: Path) -> None:
    (data / STREAM / "msgs" / "1.blk").unlink()


def remove_all(data: Path) -> None:
    shutil.rmtree(data / STREAM / "msgs")


def delete_log(data: Path) -> None:
    shutil.rmtree(data / "nats" / "jetstream")


async def problem(service: RunningService) -> str:
    """Return the error that readiness reports about the log, if any."""
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}/readyz") as answer:
        found: dict[str, Any] = await answer.json()
        assert (answer.status == 200) == ("error" not in found)
        return str(found["error"]) if "log:" in found.get("error", "") else ""


async def complete(service: RunningService, *texts: str) -> list[str]:
    client = Client(service)
    names = [await client.submit(documents.pdf(word)) for word in texts]
    for name in names:
        await client.wait_for(name, "completed")
    return names


def delete_row(data: Path, name: str) -> None:
    """Remove a document from the database, as if its submission had not been read yet."""
    change(data, f"DELETE FROM usage WHERE document_id = '{name}'")
    change(data, f"DELETE FROM documents WHERE id = '{name}'")


@pytest.mark.slow
@pytest.mark.usefixtures("six_completed")
@pytest.mark.parametrize("damage", [flip_a_bit_without_index, cut_in_half, remove_block])
async def test_a_damaged_block_of_the_log_is_reported(damage: Damage, tmp_path: Path) -> None:
    damage(tmp_path)
    async with running_service(tmp_path) as service:
        await wait_until(lambda: shows(service), WITHIN)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip_a_bit, remove_all])
async def test_a_damaged_log_is_reported_until_it_is_accepted(
    damage: Damage, tmp_path: Path, six_completed: list[str]
) -> None:
    damage(tmp_path)
    async with running_service(tmp_path) as service:
        await wait_until(lambda: shows(service), WITHIN)
        problems = await problem(service)
        assert "event" in problems
        assert "ilios losses --accept" in problems
        # What the database has is still served, and what comes is still worked on.
        assert (await Client(service).get(f"/api/documents/{six_completed[0]}"))[0] == 200
        await complete(service, "another")
    async with running_service(tmp_path) as service:
        assert await shows(service), "a restart must not forget it"
        assert (await run_ilios(tmp_path, "losses")).code == 1
        assert (await run_ilios(tmp_path, "losses", "--accept")).code == 0
        await wait_until(lambda: is_well(service), WITHIN)
    async with running_service(tmp_path) as service:
        assert not await problem(service)
        assert (await run_ilios(tmp_path, "losses")).code == 0
        await complete(service, "yet another")


async def shows(service: RunningService) -> bool:
    return bool(await problem(service))


async def is_well(service: RunningService) -> bool:
    return not await problem(service)


@pytest.mark.slow
async def test_documents_that_wait_for_a_lost_event_are_named_and_converted(tmp_path: Path) -> None:
    names = await kill_with_unfinished(tmp_path, 4)
    remove_all(tmp_path)
    async with running_service(tmp_path) as service:

        async def are_named() -> bool:
            problems = await problem(service)
            return (
                "4 documents wait for an event that is gone" in problems and names[-1] in problems
            )

        await wait_until(are_named, WITHIN)
        listed = await run_ilios(tmp_path, "losses")
        assert [name for name in names if f"gone: default/{name}" not in listed.out] == []
    change(tmp_path, "UPDATE documents SET submitted_at = submitted_at - 600000")
    async with running_service(tmp_path, **FREQUENT_JANITOR) as service:
        for name in names:
            await Client(service).wait_for(name, "completed")
        _, summary = await Client(service).get("/api/usage/summary")
        assert b'"totalOperations":4' in summary


@pytest.mark.slow
async def test_originals_that_may_belong_to_lost_events_are_reported_and_not_deleted(
    tmp_path: Path, six_completed: list[str]
) -> None:
    *_, there, lost = six_completed
    delete_row(tmp_path, lost)
    remove_all(tmp_path)
    two_days_ago = time.time() - 2 * DAY / 1000
    for path in (tmp_path / "blobs").rglob("*"):
        os.utime(path, (two_days_ago, two_days_ago))
    change(tmp_path, f"UPDATE sweeps SET at = at - {3 * DAY} WHERE name = 'first'")
    (original,) = originals(tmp_path, lost)
    async with running_service(tmp_path, **FREQUENT_JANITOR) as service:

        async def is_named() -> bool:
            return lost in await problem(service)

        await wait_until(is_named, WITHIN)
        assert there not in await problem(service)
        assert lost in (await run_ilios(tmp_path, "losses", "--accept")).out
        await wait_until(lambda: is_well(service), WITHIN)
        markdown = list((tmp_path / "blobs").rglob(f"*markdown*{lost}*"))
        await wait_until(lambda: not any(path.exists() for path in markdown), WITHIN)
        assert original.exists()


def originals(data: Path, name: str) -> list[Path]:
    return list((data / "blobs").rglob(f"originals*{name}*"))


async def test_a_new_log_is_reported_and_its_documents_are_still_served(
    tmp_path: Path, completed: str
) -> None:
    delete_log(tmp_path)
    async with running_service(tmp_path) as service:
        assert "not the one the database was written from" in await problem(service)
        assert (await Client(service).get(f"/api/documents/{completed}"))[0] == 200
        await complete(service, "Parallel")
        await run_ilios(tmp_path, "losses", "--accept")
        await wait_until(lambda: is_well(service), WITHIN)


@pytest.mark.usefixtures("completed")
async def test_a_log_whose_settings_were_lost_has_lost_no_event(tmp_path: Path) -> None:
    (tmp_path / STREAM / "meta.inf").unlink()
    async with running_service(tmp_path) as service:
        await complete(service, "Parallel")
        assert not await problem(service)
        _, summary = await Client(service).get("/api/usage/summary")
        assert b'"totalOperations":2' in summary


@pytest.mark.slow
@pytest.mark.usefixtures("six_completed")
async def test_a_log_damaged_while_the_service_runs_is_reported(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        flip_a_bit_without_index(tmp_path)
        (pid,) = service.children("nats-server")
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: shows(service), WITHIN)
        await complete(service, "another")


@pytest.mark.slow
async def test_a_new_database_beside_an_older_log_is_refused(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        (name,) = await complete(service, "Meridian")
        await wait_until(lambda: is_read_to_its_end(tmp_path), WITHIN)
        await purge(tmp_path)
    (tmp_path / "log-losses.json").unlink()  # or the loss would be noticed
    for path in tmp_path.glob("ilios.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    shutil.rmtree(tmp_path / "snapshots", ignore_errors=True)
    async with running_service(tmp_path) as service:
        assert "database is new" in await problem(service)
    for path in tmp_path.glob("ilios.db*"):
        path.unlink()
    for path in tmp_path.glob("away-ilios.db*"):
        path.rename(path.with_name(path.name.removeprefix("away-")))
    async with running_service(tmp_path) as service:
        await wait_until(lambda: is_well(service), WITHIN)
        assert (await Client(service).get(f"/api/documents/{name}"))[0] == 200


async def is_read_to_its_end(data: Path) -> bool:
    """Whether the cursor is at the last event, which changes no row."""
    settings = from_environ({"ILIOS_DATA_DIR": str(data), "ILIOS_NATS_PORT": "0"})
    async with operator_connection(settings) as connection:
        state = (await connection.jetstream.stream_info(EVENTS)).state
    with sqlite3.connect(f"file:{data / 'ilios.db'}?mode=ro", uri=True) as database:
        (read,) = database.execute("SELECT sequence FROM cursors").fetchone()
    return bool(read == state.last_seq)


@pytest.mark.slow
async def test_events_that_were_removed_before_they_were_read_are_reported(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        await complete(service, "Meridian", "Parallel")
    change(tmp_path, "UPDATE cursors SET sequence = 2")
    await purge(tmp_path, keep=1)
    async with running_service(tmp_path) as service:
        assert "before they were read" in await problem(service)


async def purge(data: Path, keep: int = 0) -> None:
    """Remove the beginning of the log, as its maximum age does."""
    settings = from_environ({"ILIOS_DATA_DIR": str(data), "ILIOS_NATS_PORT": "0"})
    async with operator_connection(settings) as connection:
        await connection.jetstream.purge_stream(EVENTS, keep=keep)


@pytest.mark.slow
@pytest.mark.usefixtures("six_completed")
async def test_a_rebuild_from_a_log_with_a_gap_has_to_be_accepted(tmp_path: Path) -> None:
    flip_a_bit(tmp_path)
    for path in tmp_path.glob("ilios.db*"):
        path.unlink()
    refused = await run_ilios(tmp_path, "rebuild")
    assert refused.code == 1
    assert "from the log: their changes are missing" in refused.errors
    assert (await run_ilios(tmp_path, "rebuild", "--accept-gap")).code == 0
