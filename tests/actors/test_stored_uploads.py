"""Uploads that the edge has stored and detected are converted from their submission, once."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from nats.js.errors import NotFoundError

from actors import submissions
from actors.blob_keys import original_key
from actors.cancellations import Cancellations
from actors.fetcher import Fetcher
from actors.ocr import Ocr
from actors.publishable import fetched_from
from bus import codec, subjects
from bus.connection import Connection
from bus.consumers import Consumer
from bus.delivery import Delivery
from bus.objects import Objects
from bus.publisher import Publisher
from schemas.documents import (
    DocumentConverted,
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
    Inline,
    Stored,
)
from tests import events
from tests.actors.fakes import FakeBlobs, FakeDownloader, FakeEngine
from tests.actors.running import Streams, running_in_background
from tests.waiting import wait_until

PDF = b"%PDF-1.7\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"
UPLOAD = Stored(3, events.SHA256, suffix="abc", detected="application/pdf")


def upload(number: int = 1, *, priority: int = 5, tenant: str = "default") -> DocumentSubmitted:
    return replace(
        events.submitted(number, source=UPLOAD, priority=priority, tenant=tenant),
        submitted_at=None,
    )


def fetched(submitted: DocumentSubmitted) -> DocumentFetched:
    """Return what a fetcher that does not know ``detected`` publishes of an upload."""
    event = fetched_from(submitted)
    assert event is not None
    return event


class World:
    """A log, and the actors of one process."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.blobs = FakeBlobs(directory)
        for number in range(1, 100):
            for tenant in ("default", "other"):
                key = original_key(tenant, events.id_of(number), UPLOAD.suffix)
                self.blobs.stored[key] = PDF
        self.engine = FakeEngine()
        self.streams = Streams(connection)
        self.publisher = Publisher(connection)
        self.ocr = self.another_ocr()
        self.fetcher = Fetcher(
            connection,
            self.blobs,
            FakeDownloader(),
            Cancellations(connection),
            Objects(connection, 0),
        )

    def another_ocr(self, concurrency: int = 2) -> Ocr:
        return Ocr(
            self.connection,
            self.blobs,
            self.engine,
            Cancellations(self.connection),
            concurrency=concurrency,
        )

    async def submit(self, *submitted: DocumentSubmitted) -> None:
        """Submit as other programs do: nothing on the log drops what comes twice."""
        for event in submitted:
            await self.publisher.publish_raw(subjects.subject_for(event), codec.encode(event), {})

    async def is_idle(self) -> bool:
        """Whether ocr has acknowledged everything."""
        return all([await self.has_acknowledged(source) for source in self.ocr.consumer.sources])

    async def has_acknowledged(self, consumer: Consumer) -> bool:
        try:
            return await self.streams.all_acked(consumer)
        except NotFoundError:  # so far
            return False

    def converted_ids(self) -> list[str]:
        return [document.document_id for document in self.engine.converted]


@pytest.fixture
def world(connection: Connection, tmp_path: Path) -> World:
    return World(connection, tmp_path)


async def test_an_upload_is_converted_without_a_fetcher(world: World) -> None:
    await world.publisher.publish_if_first(upload(priority=7))
    async with running_in_background(world.ocr.run), running_in_background(world.fetcher.run):
        (event,) = await world.streams.wait_for(DocumentConverted)
        await wait_until(world.is_idle)
        await wait_until(lambda: world.has_acknowledged(world.fetcher.consumer))
    assert (event.document_id, event.priority) == (events.id_of(1), 7)
    (document,) = world.engine.converted
    assert (document.content_type, document.size) == ("application/pdf", 3)
    assert await world.streams.events(DocumentFetched) == []


async def test_what_has_to_be_fetched_or_waits_for_a_batch_is_left_to_the_fetcher(
    world: World,
) -> None:
    """Unknown options and malformed events among them."""
    await world.submit(
        events.submitted(1, source=Inline(PDF), file_name="detected \\u0064"),
        events.submitted(2, source=replace(UPLOAD, detected=None)),
        replace(upload(3), held=True),
    )
    subject = subjects.subject_for(upload(4))
    await world.publisher.publish_raw(subject, b'{"type": "document.submitted/1"}', {})
    async with running_in_background(world.ocr.run):
        await wait_until(world.is_idle)
    assert world.engine.converted == []
    assert await world.streams.dead_letters() == []


async def test_a_malformed_upload_is_one_dead_letter(world: World) -> None:
    body = codec.encode(upload()).replace(b'"application/pdf"', b'"no type"')
    await world.publisher.publish_raw(subjects.subject_for(upload()), body, {})
    async with running_in_background(world.ocr.run), running_in_background(world.fetcher.run):
        (letter,) = await world.streams.wait_for_dead_letters()
        await wait_until(world.is_idle)
        await wait_until(lambda: world.has_acknowledged(world.fetcher.consumer))
    assert "detected" in (letter.headers or {})["Ilios-Reason"]
    assert world.engine.converted == []


async def test_a_name_that_is_escaped_in_the_json_is_the_same_name(world: World) -> None:
    body = codec.encode(upload()).replace(b'"detected"', b'"\\u0064etected"')
    await world.publisher.publish_raw(subjects.subject_for(upload()), body, {})
    async with running_in_background(world.ocr.run), running_in_background(world.fetcher.run):
        await world.streams.wait_for(DocumentConverted)
    assert await world.streams.events(DocumentFetched) == []


async def test_a_stranger_with_a_taken_id_gets_a_dead_letter(world: World) -> None:
    """Whatever it claims in its headers, and whether or not the first is in work."""
    stranger = replace(upload(), source=replace(UPLOAD, suffix="other"))
    world.engine.may_finish.clear()
    await world.publisher.publish_if_first(upload())
    async with running_in_background(world.ocr.run):
        await wait_until(lambda: len(world.engine.converted) == 1)
        await world.submit(stranger)
        claims = {
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Nats-Expected-Last-Subject-Sequence-Subject": subjects.same_event_filter(upload(2)),
        }
        subject = subjects.subject_for(stranger)
        await world.publisher.publish_raw(subject, codec.encode(stranger), claims)
        letters = await world.streams.wait_for_dead_letters(2)
        world.engine.may_finish.set()
        await wait_until(world.is_idle)
    assert all("already taken" in (one.headers or {})["Ilios-Reason"] for one in letters)
    assert len(world.engine.converted) == 1
    assert len(await world.streams.events(DocumentConverted)) == 1


@pytest.mark.parametrize("window", [timedelta(minutes=1), timedelta(0)])
async def test_a_repeated_submission_is_converted_once(
    world: World, monkeypatch: pytest.MonkeyPatch, window: timedelta
) -> None:
    monkeypatch.setattr(submissions, "DUPLICATE_WINDOW", window)
    await world.submit(upload())
    async with running_in_background(world.ocr.run):
        await world.streams.wait_for(DocumentConverted)
        await world.submit(upload())
        await wait_until(world.is_idle)
    async with running_in_background(world.another_ocr().run):
        await world.submit(upload())
        await wait_until(world.is_idle)
    assert len(world.engine.converted) == 1


async def test_an_upload_that_is_not_there_or_is_empty_fails(world: World) -> None:
    missing, empty = replace(UPLOAD, suffix="missing"), replace(UPLOAD, size=0)
    await world.submit(
        replace(upload(1), source=missing),
        replace(upload(2), source=empty),
    )
    async with running_in_background(world.ocr.run):
        failures = await world.streams.wait_for(DocumentFailed, 2)
    codes = {one.document_id: one.code for one in failures if isinstance(one, DocumentFailed)}
    assert codes == {events.id_of(1): "source_missing", events.id_of(2): "empty"}


async def test_a_cancelled_upload_is_not_converted_before_or_in_its_conversion(
    world: World,
) -> None:
    await world.submit(upload(1))
    await world.publisher.publish(events.cancelled(1))
    cancellations = Cancellations(world.connection)
    ocr = Ocr(world.connection, world.blobs, world.engine, cancellations, concurrency=2)
    world.engine.may_finish.clear()
    async with running_in_background(cancellations.run), running_in_background(ocr.run):
        await wait_until(world.is_idle)
        assert world.engine.converted == []
        await world.submit(upload(2))
        await wait_until(lambda: world.converted_ids() == [events.id_of(2)])
        await world.publisher.publish(events.cancelled(2))
        await wait_until(world.is_idle)
    assert await world.streams.events(DocumentConverted, DocumentFailed) == []


async def test_a_requeued_upload_is_converted_again(world: World) -> None:
    await world.submit(upload())
    async with running_in_background(world.ocr.run):
        await world.streams.wait_for(DocumentConverted)
        await world.submit(replace(upload(), requeues=1))
        first, second = await world.streams.wait_for(DocumentConverted, 2)
    assert (first.requeues, second.requeues) == (0, 1)


async def test_finished_work_on_an_upload_is_found_and_not_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a process that died between its publish and its acknowledgement."""
    await world.publisher.publish_if_first(upload())
    with monkeypatch.context() as dying:
        dying.setattr(Delivery, "ack", lambda _: asyncio.sleep(0))
        async with running_in_background(world.ocr.run):
            await world.streams.wait_for(DocumentConverted)
    async with running_in_background(world.another_ocr().run):
        await wait_until(world.is_idle)
    assert len(world.engine.converted) == 1


async def test_what_a_fetcher_of_a_former_version_publishes_is_not_converted_too(
    world: World,
) -> None:
    """Neither by this process nor by another one, while the conversion goes on and after it."""
    world.engine.may_finish.clear()
    await world.publisher.publish_if_first(upload())
    async with running_in_background(world.ocr.run):
        await wait_until(lambda: len(world.engine.converted) == 1)
        await world.publisher.publish(fetched(upload()))
        await wait_until(lambda: world.has_acknowledged(world.ocr.consumer))
        async with running_in_background(world.another_ocr().run):
            for number in range(2):
                await world.publisher.publish(fetched(upload()), msg_id_suffix=f"{number}")
            await wait_until(lambda: world.has_acknowledged(world.ocr.consumer))
            world.engine.may_finish.set()
            await wait_until(world.is_idle)
    assert len(world.engine.converted) == 1
    assert len(await world.streams.events(DocumentConverted)) == 1


@pytest.mark.parametrize("requeues", [0, 1])
async def test_an_upload_that_came_to_nothing_is_converted_from_a_later_fetched_event(
    world: World, requeues: int
) -> None:
    """As the janitor publishes it, or an operator who requeues it."""
    await world.submit(upload())
    with pytest.MonkeyPatch.context() as idle:
        idle.setattr(Ocr, "handle", lambda *_: asyncio.sleep(0))
        async with running_in_background(world.ocr.run):
            await wait_until(world.is_idle)
    await world.publisher.publish(replace(fetched(upload()), requeues=requeues))
    async with running_in_background(world.another_ocr().run):
        (event,) = await world.streams.wait_for(DocumentConverted)
    assert event.requeues == requeues


async def test_a_lane_serves_both_of_its_consumers_in_the_order_of_the_log(world: World) -> None:
    world.blobs.stored["original"] = PDF
    for number in range(1, 9, 2):
        await world.submit(upload(number))
        await world.publisher.publish(events.fetched(number + 1))
    await world.submit(upload(9, priority=10))
    async with running_in_background(world.another_ocr(concurrency=1).run):
        await wait_until(world.is_idle)
    order = world.converted_ids()
    assert sorted(order) == [events.id_of(number) for number in range(1, 10)]
    assert events.id_of(9) in order[:4], "urgent ones first"


async def test_a_tenants_limit_holds_for_both_consumers_together(world: World) -> None:
    """Each of two has no more than ``concurrency``, whichever way its documents come."""
    world.blobs.stored["original"] = PDF
    world.engine.may_finish.clear()
    for number in range(1, 9, 2):
        await world.submit(upload(number))
        await world.publisher.publish(events.fetched(number + 1))
    async with running_in_background(world.ocr.run):
        await wait_until(lambda: len(world.engine.converted) == 2)
        await world.submit(upload(20, tenant="other"))
        await wait_until(lambda: len(world.engine.converted) == 3)
        assert [one.tenant for one in world.engine.converted] == ["default", "default", "other"]
        world.engine.may_finish.set()
        await wait_until(world.is_idle)
    assert len(world.engine.converted) == 9
