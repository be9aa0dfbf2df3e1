"""Large files are put into the bucket of their tenant on the bus, and submitted by name."""

import asyncio
import io
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import ObjectNotFoundError
from nats.js.object_store import ObjectStore

from bus.failpoints import Failpoint
from ilios.api_keys import tenant_of
from ilios.nats.server import embedded
from schemas.ids import new_id
from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, Target, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

OURS, THEIRS = "first-key-0123456789", "second-key-0123456789"
CHUNK = 128 * 1024
MIB = 1024**2


@asynccontextmanager
async def client_of(data_dir: Path, name: str = "publisher") -> AsyncIterator[Client]:
    """Connect with the credentials that the service gives to publishers or its operator."""

    async def on_error(_: Exception) -> None:
        """Let a refused request end by its timeout."""

    url = (data_dir / "nats" / f"{name}.url").read_text().strip()
    client = await nats.connect(url, error_cb=on_error)
    try:
        yield client
    finally:
        # Of a connection that was lost meanwhile the client awaits what it has cancelled.
        with suppress(asyncio.CancelledError):
            await client.close()


async def bucket_of(client: Client, tenant: str = "default") -> ObjectStore:
    return await client.jetstream().object_store(f"ilios-uploads-{tenant}")


async def submit(client: Client, source: dict[str, Any], tenant: str = "default") -> str:
    document_id = new_id()
    event = {"type": "document.submitted/1", "document_id": document_id, "source": source}
    subject = f"ilios.document.submitted.p05.{tenant}.{document_id}"
    acknowledged = await client.request(subject, msgspec.json.encode(event), timeout=30)
    assert msgspec.json.decode(acknowledged.data).get("seq")
    return document_id


async def status_of(service: RunningService, document_id: str, key: str = "") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{service.url}/api/documents/status/{document_id}") as response,
    ):
        found: dict[str, Any] = await response.json()
        return found


async def ended(service: RunningService, document_id: str, key: str = "") -> dict[str, Any]:
    """Return the status of a document once it has ended."""
    found: dict[str, Any] = {}

    async def has_ended() -> bool:
        nonlocal found
        found = await status_of(service, document_id, key)
        return found.get("status") in ("completed", "failed")

    await wait_until(has_ended, within=60)
    return found


async def stored_messages(data_dir: Path, tenant: str = "default") -> int:
    """Return the number of messages in a bucket, as its operator sees it."""
    async with client_of(data_dir, "operator") as operator:
        info = await operator.jetstream().stream_info(f"OBJ_ilios-uploads-{tenant}")
        return int(info.state.messages)


async def test_an_object_is_converted_and_deleted(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, client_of(tmp_path) as publisher:
        bucket = await bucket_of(publisher)
        report = documents.pdf("Put on the bus") + b"\n%" + b"x" * 5 * CHUNK
        put = await bucket.put("reports/one.pdf", report)
        assert put.digest is not None
        named = {"kind": "object", "name": "reports/one.pdf", "digest": put.digest}

        document_id = await submit(publisher, named)

        status = await ended(service, document_id)
        assert (status["status"], status["fileSize"]) == ("completed", len(report))
        await wait_until(lambda: _is_empty(tmp_path))


async def _is_empty(data_dir: Path) -> bool:
    return await stored_messages(data_dir) == 0


async def test_a_batch_of_objects_is_converted(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, client_of(tmp_path) as publisher:
        bucket, batch_id = await bucket_of(publisher), f"{new_id()[:20]}"
        names = [f"{batch_id}{number:03}" for number in range(3)]
        for name in names:
            await bucket.put(name, documents.pdf(name))
        event = {
            "type": "batch.submitted/1",
            "batch_id": batch_id,
            "documents": [
                {"document_id": name, "source": {"kind": "object", "name": name}} for name in names
            ],
        }
        subject = f"ilios.batch.submitted.default.{batch_id}"
        await publisher.request(subject, msgspec.json.encode(event), timeout=30)

        states = [(await ended(service, name))["status"] for name in names]

        assert states == ["completed"] * 3
        await wait_until(lambda: _is_empty(tmp_path))


async def test_a_request_may_name_an_object(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, client_of(tmp_path) as publisher:
        await (await bucket_of(publisher)).put("a.pdf", documents.pdf("By request"))
        body = msgspec.json.encode({"source": {"kind": "object", "name": "a.pdf"}})
        answers: list[dict[str, str]] = []

        async def is_answered() -> bool:
            with suppress(NoRespondersError):  # the edge connects when the service is ready
                reply = await publisher.request("ilios.api.submit", body, timeout=30)
                answers.append(msgspec.json.decode(reply.data))
            return bool(answers)

        await wait_until(is_answered)
        assert (await ended(service, answers[0]["id"]))["status"] == "completed"
        await wait_until(lambda: _is_empty(tmp_path))


async def test_objects_are_taken_from_a_bus_of_ones_own(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path / "nats", 0) as bus,
        running_service(
            tmp_path / "data", NATS_URL=bus.url("operator"), ILIOS_BUCKET_MB="8"
        ) as service,
        client_of(tmp_path, "operator") as client,
    ):
        await (await bucket_of(client)).put("a.pdf", documents.pdf("Elsewhere"))
        document_id = await submit(client, {"kind": "object", "name": "a.pdf"})
        assert (await ended(service, document_id))["status"] == "completed"
        await wait_until(lambda: _is_empty(tmp_path))


@pytest.mark.slow
async def test_a_rebuilt_database_has_the_original_of_an_object(tmp_path: Path) -> None:
    data = documents.pdf("Rebuilt")
    async with running_service(tmp_path) as service, client_of(tmp_path) as publisher:
        await (await bucket_of(publisher)).put("a.pdf", data)
        document_id = await submit(publisher, {"kind": "object", "name": "a.pdf"})
        await ended(service, document_id)
        await wait_until(lambda: _is_empty(tmp_path))
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"ilios.db{suffix}").unlink(missing_ok=True)
    code, _, errors = await run_ilios(tmp_path, "rebuild")
    assert code == 0, errors
    async with running_service(tmp_path) as service, aiohttp.ClientSession() as session:
        url = f"{service.url}/api/documents/{document_id}/original"
        async with session.get(url) as response:
            assert await response.read() == data


@pytest.mark.slow
@pytest.mark.parametrize("point", ["objects.chunk", "actor.answered", "actor.published"])
async def test_a_service_killed_over_an_object_converts_and_deletes_it(
    tmp_path: Path, point: Failpoint
) -> None:
    service = RunningService(tmp_path)
    service.armed = point
    await service.start()
    try:
        async with client_of(tmp_path) as publisher:
            await (await bucket_of(publisher)).put(
                "a.pdf", documents.pdf("Survives") + b"%" * 9 * CHUNK
            )
            document_id = await submit(publisher, {"kind": "object", "name": "a.pdf"})
        await service.wait_until_killed()
        await service.start()
        assert (await ended(service, document_id))["status"] == "completed"
        await wait_until(lambda: _is_empty(tmp_path), within=30)
    finally:
        await service.stop()


KILLS: tuple[Target, ...] = ("nats-server", "service", "nats-server", "all", "service")
OBJECTS = 12


@pytest.mark.slow
async def test_objects_outlive_kills_of_service_and_bus(tmp_path: Path) -> None:
    files = [documents.pdf(f"No. {number}") + os.urandom(4 * MIB) for number in range(OBJECTS)]
    rng, submitted = random.Random(OBJECTS), list[str]()
    service = RunningService(tmp_path)
    await service.start()
    try:
        async with client_of(tmp_path) as publisher:
            bucket = await bucket_of(publisher)
            for number, data in enumerate(files):
                await bucket.put(f"{number}.pdf", data)
            for number in range(OBJECTS):
                source = {"kind": "object", "name": f"{number}.pdf"}
                submitted.append(await submit(publisher, source))
        for target in KILLS:
            await asyncio.sleep(rng.uniform(0, 0.4))
            await service.kill(target)
            if target != "nats-server":
                await service.start()
        for document_id, data in zip(submitted, files, strict=True):
            assert (await ended(service, document_id))["status"] == "completed"
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{service.url}/api/documents/{document_id}/original") as response,
            ):
                assert await response.read() == data
        # One may be left to the janitor by each kill: acknowledged, and not deleted.
        async with client_of(tmp_path) as publisher:
            names = [await _exists(await bucket_of(publisher), n) for n in range(OBJECTS)]
        assert sum(names) <= len(KILLS)
    finally:
        await service.stop()


async def _exists(bucket: ObjectStore, number: int) -> bool:
    try:
        await bucket.get_info(f"{number}.pdf")
    except ObjectNotFoundError:
        return False
    return True


async def test_a_tenant_reaches_no_object_of_another(tmp_path: Path) -> None:
    ours, theirs = tenant_of(OURS), tenant_of(THEIRS)
    async with running_service(tmp_path, API_KEY=f"{OURS},{THEIRS}") as service:
        async with client_of(tmp_path, f"publisher-{theirs}") as stranger:
            await (await bucket_of(stranger, theirs)).put("secret.pdf", documents.pdf("Secret"))
        async with client_of(tmp_path, f"publisher-{ours}") as publisher:
            for operation in ("STREAM.INFO", "STREAM.PURGE", "STREAM.MSG.GET", "DIRECT.GET"):
                query = b'{"last_by_subj": "$O.ilios-uploads-%s.M.>"}' % theirs.encode()
                with pytest.raises(nats.errors.Error):
                    await publisher.request(
                        f"$JS.API.{operation}.OBJ_ilios-uploads-{theirs}", query, timeout=0.3
                    )
            document_id = await submit(publisher, {"kind": "object", "name": "secret.pdf"}, ours)
            status = await ended(service, document_id, OURS)
        assert status["code"] == "source_missing"
        assert await stored_messages(tmp_path, theirs) == 2


async def test_a_bucket_takes_no_more_than_its_size(tmp_path: Path) -> None:
    async with running_service(tmp_path, ILIOS_BUCKET_MB="1"), client_of(tmp_path) as publisher:
        bucket = await bucket_of(publisher)
        with pytest.raises(JetStreamError, match="maximum bytes exceeded"):
            await bucket.put("large", os.urandom(2 * MIB))
        await bucket.put("small", b"abc")  # of the other one nothing is left


class Zeros(io.RawIOBase):
    """A document of any size that nobody holds in memory: a PDF, then a comment."""

    def __init__(self, size: int) -> None:
        self._head = io.BytesIO(documents.pdf("Very large") + b"\n%")
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        head = self._head.readinto(into)
        length = head or min(len(into), self._left)
        if not head:
            into[:length] = b"x" * length
        self._left -= length
        return length


def resident_peak(pid: int) -> int:
    """Return the most memory in bytes that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024


@pytest.mark.slow
async def test_a_large_object_is_stored_in_bounded_memory(tmp_path: Path) -> None:
    size, ends = 200 * MIB, asyncio.Event()
    async with running_service(tmp_path) as service, client_of(tmp_path) as publisher:
        bucket = await bucket_of(publisher)
        await ended(service, await submit(publisher, {"kind": "inline", "data": ""}))  # warm
        before = resident_peak(service.pid)
        async with client_of(tmp_path, "operator") as operator:

            async def on_fetched(_: Any) -> None:
                ends.set()

            await operator.subscribe("ilios.document.fetched.>", cb=on_fetched)
            await bucket.put("large.pdf", io.BufferedReader(Zeros(size), CHUNK))
            await submit(publisher, {"kind": "object", "name": "large.pdf"})
            await asyncio.wait_for(ends.wait(), 120)
        assert resident_peak(service.pid) - before < 32 * MIB
        await wait_until(lambda: _is_empty(tmp_path), within=30)
