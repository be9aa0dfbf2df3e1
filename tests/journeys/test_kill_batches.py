"""Kill anything, again and again, under all that clients do at once: each promise holds."""

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest

from bus import streams
from tests.journeys.mixed_load import REQUESTS, MixedLoad
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

KILLS = 5
VICTIMS = {"service": "", "nats-server": "nats-server", "engine": "engines.local.child", "all": ""}
"""Who may be killed, and which child of the service must be there for it."""

ENDED_WITHIN = 90.0  # seconds after the last fault; a machine under load is slow, not wrong


async def kill_now_and_then(service: RunningService, crowd: MixedLoad, seed: int) -> None:
    chance = random.Random(-seed)
    for moment in sorted(chance.sample(range(5, REQUESTS - 5), KILLS)):
        await wait_until(lambda moment=moment: crowd.started >= moment, within=60)  # type: ignore[misc]
        victim = chance.choice(list(VICTIMS))
        child = VICTIMS[victim]
        await wait_until(lambda child=child: not child or bool(service.children(child)))  # type: ignore[misc]
        await service.kill(victim)
        if service.has_ended:
            await service.start()


def rows(data: Path, question: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{data}/ilios.db?mode=ro", uri=True) as database:
        return database.execute(question).fetchall()


def is_quiet(data: Path) -> bool:
    """Whether everything has ended, and what was removed is noted as erased."""
    return not rows(
        data,
        "SELECT id FROM documents WHERE state IN ('pending', 'processing') "
        "OR removed_at IS NOT NULL AND erased_at IS NULL "
        "UNION ALL SELECT id FROM batches WHERE completed_at IS NULL",
    )


def check_rows(data: Path, crowd: MixedLoad) -> None:
    """Hold the tables against each other, and against what clients were told."""
    found = {
        name: (state, batch, pages, code)
        for name, state, batch, pages, code in rows(
            data, "SELECT id, state, batch_id, pages, code FROM documents"
        )
    }
    billed = [name for (name,) in rows(data, "SELECT document_id FROM usage")]
    assert sorted(billed) == sorted(name for name, one in found.items() if one[2] is not None)
    batches = {name for (name,) in rows(data, "SELECT id FROM batches")}
    assert batches == {batch for _, batch, _, _ in found.values() if batch}
    for batch, made in crowd.batches.items():
        assert made == sorted(name for name, one in found.items() if one[1] == batch)
    for name, words in crowd.expected_texts.items():
        state, _, pages, code = found[name]
        if name in crowd.removing:
            assert state == (crowd.receipts[name] or state)
            assert state in ("cancelled", "deleted")
            assert state == "deleted" or pages is None
        else:
            assert (state, code) == (("completed", None) if words else ("failed", "corrupt"))


async def check_batches(service: RunningService, session: aiohttp.ClientSession) -> None:
    """Hold what is told and what was said of every batch against its documents and their bills."""
    data = service.data_dir
    counted = rows(
        data,
        "SELECT d.batch_id, count(*), count(u.document_id) FROM documents AS d "
        "LEFT JOIN usage AS u ON u.document_id = d.id WHERE d.batch_id IS NOT NULL GROUP BY 1",
    )
    ends = await ends_of_batches(data)
    assert sorted(ends) == sorted((batch, 1) for batch, _, _ in counted), "each is said once"
    for batch, total, billed in counted:
        async with session.get(f"{service.url}/v1/batch/status/{batch}") as answer:
            assert (await answer.json())["progress"] == {
                "total": total,
                "pending": 0,
                "processing": 0,
                "completed": billed,
                "failed": total - billed,
            }


async def ends_of_batches(data: Path) -> list[tuple[str, int]]:
    """Return how often the end of each batch lies on the log."""
    bus = await nats.connect((data / "nats" / "operator.url").read_text().strip())
    info = await bus.jetstream().stream_info(
        streams.EVENTS, subjects_filter="ilios.batch.completed.>"
    )
    await bus.close()
    return [(name.rpartition(".")[2], times) for name, times in (info.state.subjects or {}).items()]


async def check_contents(
    service: RunningService, session: aiohttp.ClientSession, crowd: MixedLoad
) -> None:
    for name, words in crowd.expected_texts.items():
        async with session.get(f"{service.url}/api/documents/{name}") as answer:
            text = (await answer.text()).strip()
            if name in crowd.removing:
                assert answer.status == 410, text
            elif words is None:
                assert answer.status == 500, text
            else:
                assert (answer.status, text.partition("\n")[0]) == (200, words)


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_promise_holds_after_kills_under_everything_at_once(
    tmp_path: Path, seed: int
) -> None:
    async with running_service(tmp_path, ILIOS_JANITOR_INTERVAL="1") as service:
        crowd = MixedLoad(service, seed)
        async with asyncio.timeout(100):
            await asyncio.gather(crowd.run(), kill_now_and_then(service, crowd, seed))
        await wait_until(lambda: is_quiet(tmp_path), within=ENDED_WITHIN)

        check_rows(tmp_path, crowd)
        async with aiohttp.ClientSession() as session:
            await check_batches(service, session)
            await check_contents(service, session, crowd)

        def bytes_of_removed() -> list[str]:
            return [
                path.name
                for path in (tmp_path / "blobs").rglob("*+*")
                if path.name.split("+")[2].partition(".")[0] in crowd.removing
            ]

        await wait_until(lambda: not bytes_of_removed(), within=30)
        assert crowd.batches
        assert crowd.removing
