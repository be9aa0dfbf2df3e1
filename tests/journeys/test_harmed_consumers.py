"""Files of the log's consumers that were harmed on disk: they are made again by themselves."""

import random
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.journeys.test_upkeep import Client
from tests.waiting import wait_until

STREAM = Path("nats/jetstream/jetstream/ILIOS/streams/ILIOS_EVENTS")
LANES = ("high", "normal", "low")
CONSUMERS = [f"{actor}-{lane}" for actor in ("fetcher", "ocr") for lane in LANES]
CONSUMERS += ["persister", "aggregator"]
WITHIN = 60.0  # seconds

Harm = Callable[[Path], object]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scramble(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(path.stat().st_size))


def point_ahead(path: Path) -> None:
    """Have the consumer be where the log is not yet: in form it is sound."""
    place = b"\xff\x7f"  # 16383
    path.write_bytes(b"\x16\x02" + 4 * place + b"\x00\x00")


def harm_every(name: str, harm: Harm) -> Harm:
    def do(stream: Path) -> None:
        for consumer in CONSUMERS:
            path = stream / "obs" / consumer / name
            if path.exists():  # the server writes some of them only now and then
                harm(path)

    return do


def rename_a_setting(stream: Path) -> None:
    """Flip a bit such that nats-server serves the whole stream no more."""
    path = stream / "obs" / "ocr-normal" / "meta.inf"
    path.write_bytes(path.read_bytes().replace(b'"filter_subjects"', b'"vilter_subjects"'))


def acknowledge_by_itself(stream: Path) -> None:
    path = stream / "obs" / "fetcher-normal" / "meta.inf"
    path.write_bytes(path.read_bytes().replace(b'"explicit"', b'"none"'))


HARMS: dict[str, Harm] = {
    "state cut in half": harm_every("o.dat", halve),
    "state zeroed": harm_every("o.dat", zero),
    "state emptied": harm_every("o.dat", empty),
    "state removed": harm_every("o.dat", Path.unlink),
    "state scrambled": harm_every("o.dat", scramble),
    "state ahead of the log": harm_every("o.dat", point_ahead),
    "settings cut in half": harm_every("meta.inf", halve),
    "settings removed": harm_every("meta.inf", Path.unlink),
    "checksums removed": harm_every("meta.sum", Path.unlink),
    "an unreadable setting": rename_a_setting,
    "another acknowledgement": acknowledge_by_itself,
}


async def is_ready(service: RunningService) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}/readyz") as answer:
        return answer.status == 200


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
async def test_documents_are_worked_on_after_files_of_consumers_were_harmed(
    harm: Harm, tmp_path: Path
) -> None:
    async with running_service(tmp_path) as service:
        client = Client(service)
        before = await client.submit(documents.pdf("Meridian"))
        await client.wait_for(before, "completed")
    harm(tmp_path / STREAM)
    async with running_service(tmp_path) as service:
        client = Client(service)
        after = await client.submit(documents.pdf("Parallel"))
        await client.wait_for(after, "completed")
        await wait_until(lambda: is_ready(service), WITHIN)
        _, summary = await client.get("/api/usage/summary")
        assert b'"totalOperations":2' in summary


async def test_consumers_harmed_while_the_service_runs_are_made_again(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        client = Client(service)
        before = await client.submit(documents.pdf("Meridian"))
        await client.wait_for(before, "completed")
        HARMS["state zeroed"](tmp_path / STREAM)
        await service.kill("nats-server")
        after = await client.submit(documents.pdf("Parallel"))
        await client.wait_for(after, "completed")
        await wait_until(lambda: is_ready(service), WITHIN)


async def test_documents_that_waited_are_worked_on_after_their_consumers_were_harmed(
    tmp_path: Path,
) -> None:
    slow = documents.pdf(*(f"page {number} " * 40 for number in range(100)))
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        names = [await Client(service).submit(slow) for _ in range(6)]
        await service.kill("all")
    HARMS["state zeroed"](tmp_path / STREAM)
    async with running_service(tmp_path) as service:
        for name in names:
            await Client(service).wait_for(name, "completed")
        _, summary = await Client(service).get("/api/usage/summary")
        assert b'"totalOperations":6' in summary
