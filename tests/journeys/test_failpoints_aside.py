"""Killed between the steps of what happens beside the flow: nothing is lost, nor done twice."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from bus.failpoints import POINTS
from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.test_failpoints import TESTED_ELSEWHERE
from tests.journeys.test_rebuild import damage, rows
from tests.journeys.test_upkeep import DAY, OFTEN, Client, blobs, change, completed
from tests.journeys.test_upload_urls import PDF, ask, complete, put
from tests.journeys.test_upload_urls import rows as counts
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


async def test_an_upload_that_was_moved_and_not_submitted_is_completed_by_completing_it_again(
    tmp_path: Path,
) -> None:
    service = RunningService(tmp_path)
    service.armed = "uploads.moved"
    await service.start()
    try:
        asked = await ask(service)
        assert await put(asked["uploadUrl"]) == 200
        with pytest.raises(aiohttp.ClientError):
            await complete(service, asked["id"])
        await service.wait_until_killed()
        await service.start()
        assert (await complete(service, asked["id"]))[0] == 200
        client = Client(service)
        await client.wait_for(asked["id"], "completed")
        assert await client.get(f"/api/documents/{asked['id']}/original") == (200, PDF)
        assert counts(tmp_path) == (1, 1)
        assert not [key for key in blobs(tmp_path) if key.startswith("uploads")]
    finally:
        await service.stop()


async def test_an_original_that_was_moved_to_the_archive_is_found_there(tmp_path: Path) -> None:
    name = await completed(tmp_path)
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    service = RunningService(tmp_path, ILIOS_RETENTION="archive", **OFTEN)
    service.armed = "retention.moved"
    starting = asyncio.ensure_future(service.start())
    await asyncio.wait([starting])
    starting.exception()  # it may have been killed before it was ready
    await service.wait_until_killed()
    await service.start()
    try:
        client = Client(service)
        await client.wait_for(name, "archived")
        body = documents.pdf("Meridian")
        assert await client.get(f"/api/documents/{name}/original") == (200, body)
    finally:
        await service.stop()


async def test_a_snapshot_that_was_broken_off_leaves_nothing_and_another_is_made(
    tmp_path: Path,
) -> None:
    await completed(tmp_path, ILIOS_SNAPSHOT_HOURS="0")
    directory = tmp_path / "snapshots"
    service = RunningService(tmp_path)
    service.armed = "snapshots.written"
    starting = asyncio.ensure_future(service.start())
    await asyncio.wait([starting])
    starting.exception()
    await service.wait_until_killed()
    assert [path.suffix for path in directory.iterdir()] == [".new"]
    async with running_service(tmp_path):
        await wait_until(
            lambda: [path.suffix for path in directory.iterdir()] == [".db"], within=30
        )


async def test_a_rebuild_that_was_killed_halfway_is_refused_by_the_service_and_done_again(
    tmp_path: Path,
) -> None:
    await completed(tmp_path)
    database = tmp_path / "ilios.db"
    before = rows(database)
    damage(database)
    killed = await run_ilios(tmp_path, "rebuild", armed="swapping.aside")
    assert killed.code == -9
    assert not database.exists()
    refused = await run_ilios(tmp_path, "serve", PORT="0")
    assert refused.code == 3
    assert "a rebuild was broken off" in refused.errors
    made = await run_ilios(tmp_path, "rebuild")
    assert made.code == 0, made
    assert rows(database) == before
    assert len(list(tmp_path.glob("ilios.db.damaged-*Z"))) == 1


def test_every_failpoint_is_reached_somewhere_and_once_only() -> None:
    """But for what has two ways to the same place; those of this file are named in the other."""
    sources = [
        path.read_text()
        for floor in ("bus", "actors", "ilios")
        for path in (ROOT / floor).rglob("*.py")
    ]
    reached = {point: sum(text.count(f'reach("{point}")') for text in sources) for point in POINTS}
    assert {point: count for point, count in reached.items() if count != 1} == {"edge.said": 2}
    assert set(POINTS) >= TESTED_ELSEWHERE
