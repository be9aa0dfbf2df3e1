"""What has outlived its retention goes, a portion at a time; nothing else does."""

from datetime import timedelta
from pathlib import Path

import pytest

from actors.keys import archived_key
from actors.retention import FEW, Expired, Retention
from actors.upkeep import Disposal
from bus.connection import Connection
from bus.publisher import Publisher
from schemas.documents import Blob, DocumentArchived, DocumentDeleted
from schemas.records import DocumentRecord
from tests import events
from tests.actors.fakes import FakeBlobs
from tests.actors.running import Streams
from tests.actors.upkeep import FakeUpkeep, record

DUE = events.SUBMITTED_AT + timedelta(days=366)


class World:
    """Documents that are due, with their originals in the store."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.blobs = FakeBlobs(directory)
        self.upkeep = FakeUpkeep()
        self.streams = Streams(connection)

    def retention(self, disposal: Disposal) -> Retention:
        return Retention(Publisher(self.connection), self.upkeep, self.blobs, disposal)

    def keep(self, number: int, state: str = "completed", **known: object) -> DocumentRecord:
        """Let the database and the store know a document."""
        key = f"originals/default/{events.name(number)}.abc"
        self.blobs.kept[key] = b"foo"
        original = Blob(key, 3, events.SHA256)
        document = record(number, state, original=original, **known)
        self.upkeep.documents.append(document)
        return document


@pytest.fixture
def world(connection: Connection, tmp_path: Path) -> World:
    return World(connection, tmp_path)


async def test_a_document_is_kept_until_its_last_day(world: World) -> None:
    world.keep(1)
    early = events.SUBMITTED_AT + timedelta(days=364, hours=23)
    assert await world.retention("delete").expire(early) == Expired()
    assert await world.streams.said(DocumentDeleted) == []


async def test_what_expired_is_said_to_be_deleted(world: World) -> None:
    world.keep(1, priority=7)
    assert await world.retention("delete").expire(DUE) == Expired(deleted=1)
    (said,) = await world.streams.said(DocumentDeleted)
    assert isinstance(said, DocumentDeleted)
    assert (said.document_id, said.priority, said.cause) == (events.name(1), 7, "expired")


async def test_an_archived_original_moves_and_the_event_says_where(world: World) -> None:
    document = world.keep(1)
    assert document.original
    assert await world.retention("archive").expire(DUE) == Expired(archived=1)
    key = archived_key(document.original.key)
    assert list(world.blobs.kept) == [key]
    (said,) = await world.streams.said(DocumentArchived)
    assert isinstance(said, DocumentArchived)
    assert said.original == Blob(key, 3, events.SHA256)


async def test_an_original_that_was_moved_before_a_crash_is_found_there(world: World) -> None:
    document = world.keep(1)
    assert document.original
    key = archived_key(document.original.key)
    await world.blobs.move(document.original.key, key)
    assert await world.retention("archive").expire(DUE) == Expired(archived=1)
    (said,) = await world.streams.said(DocumentArchived)
    assert isinstance(said, DocumentArchived)
    assert said.original
    assert said.original.key == key


async def test_an_original_that_is_lost_does_not_stop_the_others(world: World) -> None:
    world.keep(1)
    world.blobs.kept.clear()
    world.keep(2)
    assert await world.retention("archive").expire(DUE) == Expired(archived=2)
    first, second = await world.streams.said(DocumentArchived)
    assert isinstance(first, DocumentArchived)
    assert isinstance(second, DocumentArchived)
    assert first.original is None
    assert second.original


async def test_what_was_archived_is_deleted_once_that_is_chosen(world: World) -> None:
    world.keep(1, "archived")
    assert await world.retention("archive").expire(DUE) == Expired()
    assert await world.retention("delete").expire(DUE) == Expired(deleted=1)


async def test_of_many_documents_only_a_part_expires_in_one_pass(world: World) -> None:
    for number in range(1, FEW + 6):
        world.keep(number)
    assert await world.retention("delete").expire(DUE) == Expired(deleted=FEW)
