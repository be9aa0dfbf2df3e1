"""A full volume costs nothing but time: new work is refused, what was accepted ends as promised."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bench.full_volume import HEALED_WITHIN, fill_and_free, probing
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import Response, ServiceClient, billed_documents, document_states
from tests.volumes import fill, free, small_volume
from tests.waiting import wait_until

UNDER_WAY = 8  # documents, accepted before the disk is full
MANY = 30  # documents, with those that come by the bus afterwards
WITHIN = 90.0  # seconds; a machine under load is slow, not wrong
MEGABYTES = 48
RESERVE = "16"
NAMED = {"blobs": "no room for blobs:", "database": "no room for database:", "nats": "for bus:"}
"""The name of the volume in health."""
MET = {
    "blobs": "the blob store is full",
    "database": "database not writable",
    "nats": "critical write error",
}
"""The log messages of the parts that meet the full volume."""
FILLINGS = 3
SLOWER = 3  # times as long as on an idle machine; a pause that doubles would exceed it all the same


@asynccontextmanager
async def running_on_volume(
    data: Path, **environ: str
) -> AsyncIterator[tuple[RunningService, ServiceClient]]:
    async with running_service(data, ILIOS_RESERVE_MB=RESERVE, **environ) as service:
        client = ServiceClient(service, pages=20)
        try:
            yield service, client
        finally:
            await client.close()


async def refused_by_http_and_bus(client: ServiceClient) -> list[Response]:
    """Submit by every route."""
    pdf = {"data": b"%PDF-1.7", "headers": {"Content-Type": "application/pdf"}}
    batch = aiohttp.FormData()
    batch.add_field("files", b"%PDF-1.7", filename="a.pdf")
    wanted = {"fileName": "a.pdf", "fileSize": 8, "mimeType": "application/pdf"}
    return [
        await client.submit(),
        await client.send("POST", "/v1/convert", **pdf),
        await client.send("POST", "/v1/batch/submit", data=batch),
        await client.send("POST", "/api/documents/upload-url", json=wanted),
    ]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("blobs", marks=pytest.mark.slow),
        pytest.param("database", marks=pytest.mark.slow),
        "nats",
    ],
)
async def test_accepted_documents_are_completed_and_billed_once_after_a_full_disk(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with ExitStack() as stack:
        volume = stack.enter_context(small_volume(data / place, MEGABYTES))
        database = volume / "ilios.db" if place == "database" else data / "ilios.db"
        async with running_on_volume(data, LOCAL_DB_PATH=str(database)) as (service, client):
            assert await client.is_accepted()
            (done,) = client.accepted_texts
            await wait_until(
                lambda: document_states(database).get(done) == "completed", within=WITHIN
            )

            for _ in range(UNDER_WAY):
                assert await client.is_accepted()
            fill(volume)
            await wait_until(lambda: is_refused(client, 507), within=WITHIN)
            for answer in await refused_by_http_and_bus(client):
                assert (answer.status, answer.code) == (507, "storage_full")
                assert int(answer.headers["Retry-After"]) > 0
            late = await publish_document(client)
            await wait_until(lambda: MET[place] in capfd.readouterr().err, within=WITHIN)

            assert await client.first_line(done) == client.accepted_texts[done]
            assert await client.status(done) == "completed"
            assert (await client.send("GET", "/livez")).status == 200
            await wait_until(lambda: is_named(client, place))
            assert set(document_states(database).values()) <= {"pending", "processing", "completed"}
            assert document_states(database).get(late or "") != "completed", (
                "it was not full after all"
            )
            assert not service.has_ended

            free(volume)
            await wait_until(client.is_accepted, within=WITHIN)
            await wait_until(
                lambda: all(
                    document_states(database).get(one) == "completed"
                    for one in client.accepted_texts
                ),
                within=WITHIN,
            )
            assert set(document_states(database).values()) == {"completed"}
            assert billed_documents(database) == sorted(document_states(database))
            for document, words in client.accepted_texts.items():
                assert await client.first_line(document) == words
            await wait_until(lambda: is_well(client), within=WITHIN)


async def is_refused(client: ServiceClient, status: int) -> bool:
    return (await client.submit()).status == status


async def is_named(client: ServiceClient, place: str) -> bool:
    return NAMED[place] in await client.health_error()


async def is_well(client: ServiceClient) -> bool:
    return not await client.health_error()


async def publish_document(client: ServiceClient) -> str | None:
    """Submit by the bus, which does not check free space; return the last document stored.

    A volume is full page by page, so that a full one may still take a few events.
    """
    last = None
    while len(client.accepted_texts) < MANY and (taken := await client.publish(within=1.0)):
        last = taken
    return last


@pytest.mark.slow
async def test_work_resumes_as_fast_after_the_third_full_volume_as_after_the_first(
    tmp_path: Path,
) -> None:
    with small_volume(tmp_path / "nats", 48) as volume:
        async with (
            running_service(tmp_path, ILIOS_RESERVE_MB="16") as service,
            probing(service.url, volume / "publisher.url") as watching,
        ):
            healed = [await fill_and_free(volume, watching, 1.0) for _ in range(FILLINGS)]
    assert max(healed) < SLOWER * HEALED_WITHIN
    assert watching.contradictions == []
