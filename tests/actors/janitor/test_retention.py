"""Documents expire after their retention, in portions; no others do."""

from datetime import timedelta
from pathlib import Path

import pytest

from actors.blob_keys import archived_key
from actors.janitor.retention import MIN_PER_PASS, ExpiredCounts, Retention
from actors.ports import ExpiryAction
from bus.connection import Connection
from bus.publisher import Publisher
from schemas.documents import Blob, DocumentArchived, DocumentDeleted
from schemas.records import DocumentRecord
from tests import events
from tests.actors.fakes import FakeBlobs
from tests.actors.janitor.queries import FakeMaintenanceQueries, record
from tests.actors.running import Streams

EXPIRED_AT = events.SUBMITTED_AT + timedelta(days=366)


class World:
    """Documents that are due, with their originals in the store."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.blobs = FakeBlobs(directory)
        self.upkeep = FakeMaintenanceQueries()
        self.streams = Streams(connection)

    def retention(self, disposal: ExpiryAction) -> Retention:
        return Retention(Publisher(self.connection), self.upkeep, self.blobs, disposal)

    def add_document(
        self, number: int, state: str = "completed", **overrides: object
    ) -> DocumentRecord:
        """Add a document to the database and the store."""
        key = f"originals/default/{events.id_of(number)}.abc"
        self.blobs.stored[key] = b"foo"
        original = Blob(key, 3, events.SHA256)
        document = record(number, state, original=original, **overrides)
        self.upkeep.documents.append(document)
        return document


@pytest.fixture
def world(connection: Connection, tmp_path: Path) -> World:
    return World(connection, tmp_path)


async def test_a_document_stays_until_its_last_day(world: World) -> None:
    world.add_document(1)
    early = events.SUBMITTED_AT + timedelta(days=364, hours=23)
    assert await world.retention("delete").expire(early) == ExpiredCounts()
    assert await world.streams.events(DocumentDeleted) == []


async def test_an_expired_document_is_published_as_deleted(world: World) -> None:
    world.add_document(1, priority=7)
    assert await world.retention("delete").expire(EXPIRED_AT) == ExpiredCounts(deleted=1)
    (published,) = await world.streams.events(DocumentDeleted)
    assert isinstance(published, DocumentDeleted)
    assert (published.document_id, published.priority, published.cause) == (
        events.id_of(1),
        7,
        "expired",
    )


async def test_an_archived_original_is_moved_and_the_event_has_its_new_key(world: World) -> None:
    document = world.add_document(1)
    assert document.original
    assert await world.retention("archive").expire(EXPIRED_AT) == ExpiredCounts(archived=1)
    key = archived_key(document.original.key)
    assert list(world.blobs.stored) == [key]
    (published,) = await world.streams.events(DocumentArchived)
    assert isinstance(published, DocumentArchived)
    assert published.original == Blob(key, 3, events.SHA256)


async def test_an_original_that_was_moved_before_a_crash_is_found_there(world: World) -> None:
    document = world.add_document(1)
    assert document.original
    key = archived_key(document.original.key)
    await world.blobs.move(document.original.key, key)
    assert await world.retention("archive").expire(EXPIRED_AT) == ExpiredCounts(archived=1)
    (published,) = await world.streams.events(DocumentArchived)
    assert isinstance(published, DocumentArchived)
    assert published.original
    assert published.original.key == key


async def test_an_original_that_is_lost_does_not_stop_the_others(world: World) -> None:
    world.add_document(1)
    world.blobs.stored.clear()
    world.add_document(2)
    assert await world.retention("archive").expire(EXPIRED_AT) == ExpiredCounts(archived=2)
    first, second = await world.streams.events(DocumentArchived)
    assert isinstance(first, DocumentArchived)
    assert isinstance(second, DocumentArchived)
    assert first.original is None
    assert second.original


async def test_archived_documents_are_deleted_after_the_setting_changes(world: World) -> None:
    world.add_document(1, "archived")
    assert await world.retention("archive").expire(EXPIRED_AT) == ExpiredCounts()
    assert await world.retention("delete").expire(EXPIRED_AT) == ExpiredCounts(deleted=1)


async def test_one_pass_expires_a_bounded_number_of_documents(world: World) -> None:
    for number in range(1, MIN_PER_PASS + 6):
        world.add_document(number)
    assert await world.retention("delete").expire(EXPIRED_AT) == ExpiredCounts(deleted=MIN_PER_PASS)
