"""Consumers whose files were damaged on disk are created again automatically."""

import random
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import (
    Client,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

STREAM = Path("nats/jetstream/jetstream/ILIOS/streams/ILIOS_EVENTS")
LANES = ("high", "normal", "low")
CONSUMERS = [f"{actor}-{lane}" for actor in ("fetcher", "ocr", "ocr-stored") for lane in LANES]
CONSUMERS += ["persister", "aggregator"]
WITHIN = 60.0  # seconds

Damage = Callable[[Path], object]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scramble(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(path.stat().st_size))


def point_ahead(path: Path) -> None:
    """Put the consumer ahead of the log, in a file that is well formed."""
    place = b"\xff\x7f"  # 16383
    path.write_bytes(b"\x16\x02" + 4 * place + b"\x00\x00")


def damage_every(name: str, damage: Damage) -> Damage:
    def do(stream: Path) -> None:
        for consumer in CONSUMERS:
            path = stream / "obs" / consumer / name
            if path.exists():  # the server writes some of them only now and then
                damage(path)

    return do


def rename_a_setting(stream: Path) -> None:
    """Flip a bit so that nats-server no longer serves the stream."""
    path = stream / "obs" / "ocr-normal" / "meta.inf"
    path.write_bytes(path.read_bytes().replace(b'"filter_subjects"', b'"vilter_subjects"'))


def acknowledge_by_itself(stream: Path) -> None:
    path = stream / "obs" / "fetcher-normal" / "meta.inf"
    path.write_bytes(path.read_bytes().replace(b'"explicit"', b'"none"'))


DAMAGES: dict[str, Damage] = {
    "state cut in half": damage_every("o.dat", halve),
    "state zeroed": damage_every("o.dat", zero),
    "state emptied": damage_every("o.dat", empty),
    "state removed": damage_every("o.dat", Path.unlink),
    "state scrambled": damage_every("o.dat", scramble),
    "state ahead of the log": damage_every("o.dat", point_ahead),
    "settings cut in half": damage_every("meta.inf", halve),
    "settings removed": damage_every("meta.inf", Path.unlink),
    "checksums removed": damage_every("meta.sum", Path.unlink),
    "an unreadable setting": rename_a_setting,
    "another acknowledgement": acknowledge_by_itself,
}


async def is_ready(service: RunningService) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}/readyz") as answer:
        return answer.status == 200


@pytest.mark.slow
@pytest.mark.usefixtures("completed")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_documents_are_converted_after_files_of_consumers_were_damaged(
    damage: Damage, tmp_path: Path
) -> None:
    damage(tmp_path / STREAM)
    async with running_service(tmp_path) as service:
        client = Client(service)
        after = await client.submit(documents.pdf("Parallel"))
        await client.wait_for(after, "completed")
        await wait_until(lambda: is_ready(service), WITHIN)
        _, summary = await client.get("/api/usage/summary")
        assert b'"totalOperations":2' in summary


@pytest.mark.usefixtures("completed")
async def test_consumers_damaged_while_the_service_runs_are_created_again(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        client = Client(service)
        DAMAGES["state zeroed"](tmp_path / STREAM)
        await service.kill("nats-server")
        after = await client.submit(documents.pdf("Parallel"))
        await client.wait_for(after, "completed")
        await wait_until(lambda: is_ready(service), WITHIN)


@pytest.mark.slow
async def test_waiting_documents_are_converted_after_their_consumers_were_damaged(
    tmp_path: Path,
) -> None:
    slow = documents.pdf(*(f"page {number} " * 40 for number in range(100)))
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        names = [await Client(service).submit(slow) for _ in range(6)]
        await service.kill("all")
    DAMAGES["state zeroed"](tmp_path / STREAM)
    async with running_service(tmp_path) as service:
        for name in names:
            await Client(service).wait_for(name, "completed")
        _, summary = await Client(service).get("/api/usage/summary")
        assert b'"totalOperations":6' in summary
