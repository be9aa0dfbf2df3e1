"""Any event on the log may be published again at any later time without changing anything."""

import hashlib
import io
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from bus import streams
from bus.publisher import MSG_ID_HEADER
from schemas.documents import DocumentSubmitted, Inline
from schemas.ids import new_id
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

BROKEN = b"%PDF-1.7 and nothing else"
WITHIN = 60.0  # seconds; a machine under load is slow, not wrong
KINDS = {
    "document.submitted",
    "document.fetched",
    "document.converted",
    "document.completed",
    "document.failed",
    "document.deleted",
    "batch.submitted",
    "batch.completed",
}
"""What happens to the documents below. Of others, ``test_histories`` shows the same."""

ANNOUNCED = {"document.completed", "batch.completed"}


class Event(NamedTuple):
    """An event on the log."""

    subject: str
    body: bytes
    name: str | None

    @property
    def kind(self) -> str:
        return ".".join(self.subject.split(".")[1:3])


class World:
    """A service with documents that have ended, and its log."""

    def __init__(self, service: RunningService, log: JetStreamContext) -> None:
        self.service = service
        self.log = log

    async def events(self) -> list[Event]:
        state = (await self.log.stream_info(streams.EVENTS)).state
        found = []
        for sequence in range(1, state.last_seq + 1):
            message = await self.log.get_msg(streams.EVENTS, sequence)
            name = (message.headers or {}).get(MSG_ID_HEADER)
            found.append(Event(message.subject or "", message.data or b"", name))
        return found

    async def repeat(self, event: Event) -> None:
        """Publish an event as it was, once the server has forgotten its id."""

        async def is_stored() -> bool:
            headers = {MSG_ID_HEADER: event.name} if event.name else None
            taken = await self.log.publish(event.subject, event.body, headers=headers)
            return not taken.duplicate

        await wait_until(is_stored, within=WITHIN)

    async def is_settled(self) -> bool:
        """Whether everybody has handled all that is on the log, and what was deleted is erased."""
        consumers = await self.log.consumers_info(streams.EVENTS)
        if any(one.num_pending or one.num_ack_pending for one in consumers):
            return False
        path = self.service.data_dir / "ilios.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            left = database.execute(
                "SELECT count(*) FROM documents WHERE removed_at IS NOT NULL AND erased_at IS NULL"
            )
            return int(left.fetchone()[0]) == 0

    def snapshot_rows(self) -> dict[str, list[Any]]:
        """Every row there is, and every blob by its hash."""
        path = self.service.data_dir / "ilios.db"
        tables = ("documents", "usage", "batches")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            found = {
                table: database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                for table in tables
            }
        blobs = self.service.data_dir / "blobs"
        files = sorted(path for path in blobs.rglob("*") if path.is_file())
        found["blobs"] = [(path.name, hashlib.sha256(path.read_bytes()).digest()) for path in files]
        return found


async def submit(session: aiohttp.ClientSession, url: str, *contents: bytes) -> dict[str, Any]:
    form = aiohttp.FormData()
    part = "file" if len(contents) == 1 else "files"
    for number, content in enumerate(contents):
        form.add_field(part, io.BytesIO(content), filename=f"{number}.pdf")
    path = "/api/documents/submit" if len(contents) == 1 else "/v1/batch/submit"
    async with session.post(url + path, data=form) as answer:
        assert answer.status == 202, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def publish(log: JetStreamContext, content: bytes) -> None:
    """Submit a document that is fetched; uploads are not."""
    event = DocumentSubmitted(document_id=new_id(), source=Inline(content))
    subject = f"ilios.document.submitted.p05.default.{event.document_id}"
    await log.publish(subject, msgspec.json.encode(event))


async def prepare(world: World) -> None:
    """Have documents end in every way that can be had quickly."""
    url = world.service.url
    async with aiohttp.ClientSession() as session:
        await submit(session, url, documents.pdf("stays"))
        await submit(session, url, BROKEN)
        await publish(world.log, documents.pdf("fetched"))
        await submit(session, url, documents.pdf("one"), documents.pdf("two"), BROKEN)
        gone = (await submit(session, url, documents.pdf("goes")))["id"]

        async def is_over() -> bool:
            async with session.get(f"{url}/api/documents/status/{gone}") as answer:
                return bool((await answer.json())["status"] == "completed")

        await wait_until(is_over, within=WITHIN)
        async with session.delete(f"{url}/api/documents/{gone}") as answer:
            assert answer.status in (200, 202, 204), await answer.text()

    async def all_kinds_are_there() -> bool:
        return {event.kind for event in await world.events()} >= KINDS and await world.is_settled()

    await wait_until(all_kinds_are_there, within=WITHIN)


def counted(events: list[Event]) -> Counter[str]:
    return Counter(event.kind for event in events if event.kind in KINDS - ANNOUNCED)


def announced(events: list[Event]) -> set[bytes]:
    return {event.body for event in events if event.kind in ANNOUNCED}


@pytest.mark.parametrize("restarted", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_an_event_published_again_changes_nothing(
    restarted: bool,  # noqa: FBT001  # a parameter of a test
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        client = Client()
        await client.connect((tmp_path / "nats" / "operator.url").read_text().strip())
        await prepare(World(service, client.jetstream()))
        await client.close()
        if restarted:  # what was in the memory of the service is forgotten
            await service.stop()
            await service.start()
        client = await nats.connect((tmp_path / "nats" / "operator.url").read_text().strip())
        world = World(service, client.jetstream())
        await wait_until(world.is_settled, within=WITHIN)
        before, db = await world.events(), world.snapshot_rows()
        for event in before:
            await world.repeat(event)
        await wait_until(world.is_settled, within=WITHIN)
        made = (await world.events())[len(before) :]
        assert world.snapshot_rows() == db
        # Nothing was fetched, converted or failed once more. What has come about is announced again
        # in the same words; whether the server drops that depends on how soon it comes.
        assert counted(made) == counted(before)
        assert announced(made) == announced(before)
        await client.close()
