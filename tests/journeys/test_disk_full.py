"""A full disk costs nothing but time: new work is refused, what was accepted ends as promised."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.journeys.running import RunningService, running
from tests.journeys.visitors import Answer, Visitor, billed, ended
from tests.volumes import fill, free, small_volume
from tests.waiting import until

UNDER_WAY = 8  # documents, accepted before the disk is full
MANY = 30  # documents, with those that come by the bus afterwards
WITHIN = 90.0  # seconds; a machine under load is slow, not wrong
MEGABYTES = 48
RESERVE = "16"
NAMED = {"blobs": "no room for blobs:", "database": "no room for database:", "nats": "for bus:"}
"""How health names the volume."""
MET = {
    "blobs": "the blob store is full",
    "database": "nothing can be written",
    "nats": "critical write error",
}
"""What is logged by whoever meets the full volume with work in hand."""


@asynccontextmanager
async def visited(data: Path, **environ: str) -> AsyncIterator[tuple[RunningService, Visitor]]:
    async with running(data, ILIOS_RESERVE_MB=RESERVE, **environ) as service:
        visitor = Visitor(service, pages=20)
        try:
            yield service, visitor
        finally:
            await visitor.close()


async def refused_at_each_door(visitor: Visitor) -> list[Answer]:
    """Try every way to hand something in."""
    pdf = {"data": b"%PDF-1.7", "headers": {"Content-Type": "application/pdf"}}
    batch = aiohttp.FormData()
    batch.add_field("files", b"%PDF-1.7", filename="a.pdf")
    wanted = {"fileName": "a.pdf", "fileSize": 8, "mimeType": "application/pdf"}
    return [
        await visitor.submit(),
        await visitor.ask("POST", "/v1/convert", **pdf),
        await visitor.ask("POST", "/v1/batch/submit", data=batch),
        await visitor.ask("POST", "/api/documents/upload-url", json=wanted),
    ]


@pytest.mark.parametrize("place", ["blobs", "database", "nats"])
async def test_what_was_accepted_is_completed_and_billed_once_after_a_full_disk(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with ExitStack() as stack:
        volume = stack.enter_context(small_volume(data / place, MEGABYTES))
        database = volume / "ilios.db" if place == "database" else data / "ilios.db"
        async with visited(data, LOCAL_DB_PATH=str(database)) as (service, visitor):
            assert await visitor.is_accepted()
            (done,) = visitor.promised
            await until(lambda: ended(database).get(done) == "completed", within=WITHIN)

            for _ in range(UNDER_WAY):
                assert await visitor.is_accepted()
            fill(volume)
            await until(lambda: is_refused(visitor, 507), within=WITHIN)
            for answer in await refused_at_each_door(visitor):
                assert (answer.status, answer.code) == (507, "storage_full")
                assert int(answer.headers["Retry-After"]) > 0
            late = await hand_in_by_the_bus(visitor)
            await until(lambda: MET[place] in capfd.readouterr().err, within=WITHIN)

            assert await visitor.text(done) == visitor.promised[done]
            assert await visitor.state(done) == "completed"
            assert (await visitor.ask("GET", "/livez")).status == 200
            await until(lambda: is_named(visitor, place))
            assert set(ended(database).values()) <= {"pending", "processing", "completed"}
            assert ended(database).get(late or "") != "completed", "it was not full after all"
            assert not service.has_ended

            free(volume)
            await until(visitor.is_accepted, within=WITHIN)
            await until(
                lambda: all(ended(database).get(one) == "completed" for one in visitor.promised),
                within=WITHIN,
            )
            assert set(ended(database).values()) == {"completed"}
            assert billed(database) == sorted(ended(database))
            for document, words in visitor.promised.items():
                assert await visitor.text(document) == words
            await until(lambda: is_well(visitor), within=WITHIN)


async def is_refused(visitor: Visitor, status: int) -> bool:
    return (await visitor.submit()).status == status


async def is_named(visitor: Visitor, place: str) -> bool:
    return NAMED[place] in await visitor.problem()


async def is_well(visitor: Visitor) -> bool:
    return not await visitor.problem()


async def hand_in_by_the_bus(visitor: Visitor) -> str | None:
    """Submit where nobody is refused by how much is free; returns the last document taken.

    A volume is full page by page, so that a full one may still take a few events.
    """
    last = None
    while len(visitor.promised) < MANY and (taken := await visitor.publish(within=1.0)):
        last = taken
    return last
