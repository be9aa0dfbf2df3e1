"""Documents submitted by the bus are converted like those submitted by HTTP."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import nats
import pytest
import pytest_asyncio
from aiohttp import web
from nats.aio.client import Client

from actors.blob_keys import original_key
from ilios.blobs.layout import blob_path
from schemas.ids import new_id
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")


@pytest.fixture
async def source() -> AsyncIterator[str]:
    """The address of an HTTP server that has one document."""

    async def document(_: web.Request) -> web.Response:
        return web.Response(body=documents.pdf("Fetched from afar"))

    app = web.Application()
    app.router.add_get("/a.pdf", document)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningService]:
    """A service for all tests, with the settings it has by default."""
    async with running_service(tmp_path_factory.mktemp("submission")) as service:
        yield service


@pytest.fixture
async def publisher(service: RunningService) -> AsyncIterator[Client]:
    """Any NATS client, with the credentials the service hands out to publishers."""
    async with _publisher_of(service) as client:
        yield client


@asynccontextmanager
async def _publisher_of(service: RunningService) -> AsyncIterator[Client]:
    client = await nats.connect((service.data_dir / "nats" / "publisher.url").read_text().strip())
    try:
        yield client
    finally:
        await client.close()


async def _publish(client: Client, document_id: str, source: dict[str, Any]) -> None:
    event = {"type": "document.submitted/1", "document_id": document_id, "source": source}
    subject = f"ilios.document.submitted.p05.default.{document_id}"
    acknowledged = await client.request(subject, msgspec.json.encode(event), timeout=30)
    assert msgspec.json.decode(acknowledged.data).get("seq")


async def _status(service: RunningService, document_id: str) -> dict[str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/api/documents/status/{document_id}") as answer,
    ):
        assert answer.status == 200
        status: dict[str, str] = await answer.json()
        return status


async def _text(service: RunningService, document_id: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/api/documents/{document_id}") as answer,
    ):
        assert answer.status == 200
        return (await answer.text()).strip()


async def test_a_document_in_the_event_itself_is_converted(
    service: RunningService, publisher: Client
) -> None:
    document_id = new_id()
    ended = await publisher.subscribe(f"ilios.document.completed.*.default.{document_id}")
    data = base64.b64encode(documents.pdf("Carried by the event")).decode()

    await _publish(publisher, document_id, {"kind": "inline", "data": data})

    completed = msgspec.json.decode((await ended.next_msg(timeout=20)).data)
    assert completed["pages"] == 1
    assert await _text(service, document_id) == "Carried by the event"


async def test_a_document_at_an_address_is_fetched_and_converted(
    tmp_path: Path, source: str
) -> None:
    document_id = new_id()
    async with (
        running_service(tmp_path, ILIOS_DOWNLOAD_ALLOW=source) as service,
        _publisher_of(service) as publisher,
    ):
        await _publish(publisher, document_id, {"kind": "url", "url": f"http://{source}/a.pdf"})

        await wait_until(lambda: _is(service, document_id, "completed"), within=20)
        assert await _text(service, document_id) == "Fetched from afar"


@pytest.mark.parametrize(
    "url", ["http://localhost:22/a.pdf", "file:///etc/passwd", "http://a:b@example.com/a"]
)
async def test_a_url_that_may_not_be_fetched_fails_the_document(
    service: RunningService, publisher: Client, url: str
) -> None:
    document_id = new_id()

    await _publish(publisher, document_id, {"kind": "url", "url": url})

    await wait_until(lambda: _is(service, document_id, "failed"), within=20)
    assert (await _status(service, document_id))["code"] == "source_refused"


async def test_a_claimed_type_neither_changes_another_document_nor_is_believed(
    service: RunningService, publisher: Client
) -> None:
    first, wrong, missing, last = (new_id() for _ in range(4))
    pdf = documents.pdf("The first one")
    upload = {"kind": "stored", "size": len(pdf), "sha256": hashlib.sha256(pdf).hexdigest()}
    inline = {"kind": "inline", "data": base64.b64encode(pdf).decode()}
    await _publish(publisher, first, inline)
    await wait_until(lambda: _is(service, first, "completed"), within=20)
    # Bytes for the documents of taken and new ids, as an upload would have left them.
    for name in (first, wrong):
        path = Path(blob_path(str(service.data_dir / "blobs"), original_key("default", name)))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(documents.pdf("Another one") if name == first else pdf)

    await _publish(publisher, first, upload | {"detected": "application/pdf"})
    await _publish(publisher, wrong, upload | {"detected": "image/png"})
    await _publish(publisher, missing, upload | {"detected": "application/pdf"})
    await _publish(publisher, last, inline)

    for name, state in (wrong, "failed"), (missing, "failed"), (last, "completed"):
        await wait_until(lambda: _is(service, name, state), within=20)  # noqa: B023
    assert (await _status(service, missing))["code"] == "source_missing"
    assert await _text(service, first) == await _text(service, last) == "The first one"


async def test_a_malformed_event_becomes_a_dead_letter_and_blocks_nobody(
    service: RunningService, publisher: Client
) -> None:
    broken, fine = new_id(), new_id()
    subject = f"ilios.document.submitted.p05.default.{broken}"
    await publisher.request(subject, b'{"type": "document.submitted/1", "oops', timeout=30)
    data = base64.b64encode(documents.pdf("Not held up")).decode()
    await _publish(publisher, fine, {"kind": "inline", "data": data})

    await wait_until(lambda: _is(service, fine, "completed"), within=20)
    operator = await nats.connect((service.data_dir / "nats" / "operator.url").read_text().strip())
    try:
        letter = await asyncio.wait_for(
            operator.jetstream().get_last_msg(
                "ILIOS_DEAD_LETTERS", f"ilios.dead.submitted.default.{broken}"
            ),
            5,
        )
    finally:
        await operator.close()
    assert letter.data == b'{"type": "document.submitted/1", "oops'
    assert letter.headers is not None
    assert "malformed" in letter.headers["Ilios-Reason"]


async def _is(service: RunningService, document_id: str, state: str) -> bool:
    return (await _status(service, document_id))["status"] == state


async def test_an_invalid_submission_is_rejected_to_its_publisher(
    service: RunningService, publisher: Client
) -> None:
    document_id = new_id()
    ended = await publisher.subscribe(f"ilios.document.rejected.*.default.{document_id}")

    await _publish(publisher, document_id, {"kind": "carrier pigeon"})

    rejected = msgspec.json.decode((await ended.next_msg(timeout=20)).data)
    assert "carrier pigeon" in rejected["reason"]
    status = await _status(service, document_id)
    assert (status["status"], status["code"]) == ("failed", "invalid_event")
    data = base64.b64encode(documents.pdf("Sent once more")).decode()
    await _publish(publisher, document_id, {"kind": "inline", "data": data})
    await wait_until(lambda: _is(service, document_id, "completed"), within=20)
    assert await _text(service, document_id) == "Sent once more"


async def test_an_overdue_document_fails_and_is_found_by_its_reference(
    service: RunningService, publisher: Client
) -> None:
    document_id, reference = new_id(), f"case {new_id()}"
    event = {
        "type": "document.submitted/1",
        "document_id": document_id,
        "source": {"kind": "inline", "data": base64.b64encode(documents.pdf("Late")).decode()},
        "deadline": "2026-01-15T10:30:00Z",
        "reference": reference,
        "metadata": {"case": 17},
    }
    failures = await publisher.subscribe(f"ilios.document.failed.*.default.{document_id}")
    await publisher.flush()
    subject = f"ilios.document.submitted.p05.default.{document_id}"
    await publisher.request(subject, msgspec.json.encode(event), timeout=30)
    failed = msgspec.json.decode((await failures.next_msg(timeout=60)).data)
    assert (failed["code"], failed["reference"], failed["metadata"]) == (
        "expired",
        reference,
        {"case": 17},
    )
    await wait_until(lambda: _is_listed(service, "failed", reference, document_id))
    assert not await _is_listed(service, "completed,pending", reference, document_id)


async def _is_listed(
    service: RunningService, states: str, reference: str, document_id: str
) -> bool:
    query = {"state": states, "reference": reference}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/v1/documents", params=query) as answer,
    ):
        assert answer.status == 200
        return [one["id"] for one in (await answer.json())["documents"]] == [document_id]
