"""Orphaned blobs are deleted; blobs that may still be needed stay."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.blob_keys import PREFIXES
from actors.janitor import orphans as module
from actors.janitor.orphans import ALWAYS_DELETABLE, MIN_ORPHAN_AGE, Orphans, TooManyOrphans
from actors.writes import Cursor
from bus.connection import Connection
from bus.log import Log
from bus.publisher import Publisher
from bus.subjects import StreamIdentity
from schemas.documents import Blob
from tests import batch_events, events
from tests.actors.fakes import FakeBlobs
from tests.actors.janitor.queries import FakeMaintenanceQueries, record

NOW = datetime.now(UTC)
LONG_AGO = NOW - MIN_ORPHAN_AGE - timedelta(minutes=1)


class World:
    """A store, and a database with some of its documents."""

    def __init__(self, connection: Connection, directory: Path) -> None:
        self.connection = connection
        self.publisher = Publisher(connection)
        self.blobs = FakeBlobs(directory)
        self.upkeep = FakeMaintenanceQueries()
        self.orphans = Orphans(Log(connection), self.upkeep, self.blobs)

    def put(self, kind: str, number: int, suffix: str, at: datetime = LONG_AGO) -> str:
        key = f"{kind}/default/{events.id_of(number)}.{suffix}"
        self.blobs.stored[key] = b"foo"
        self.blobs.modified[key] = at
        return key

    async def sweep(self) -> int:
        """Walk through the whole store once."""
        return sum([await self.orphans.sweep(NOW) for _ in PREFIXES])


@pytest.fixture
def world(connection: Connection, tmp_path: Path) -> World:
    return World(connection, tmp_path)


async def test_an_old_upload_that_was_never_submitted_is_deleted(world: World) -> None:
    world.put("originals", 1, "a")
    young = world.put("originals", 2, "a", NOW - MIN_ORPHAN_AGE + timedelta(minutes=1))
    assert await world.sweep() == 1
    assert list(world.blobs.stored) == [young]


async def test_referenced_blobs_stay_and_stale_attempts_are_deleted(world: World) -> None:
    original, markdown = world.put("originals", 1, "a"), world.put("markdown", 1, "a")
    stale = [world.put("originals", 1, "b"), world.put("markdown", 1, "b")]
    world.upkeep.documents = [
        record(
            state="completed",
            original=Blob(original, 3, events.SHA256),
            markdown=Blob(markdown, 3, events.SHA256),
        )
    ]
    assert await world.sweep() == len(stale)
    assert set(world.blobs.stored) == {original, markdown}


async def test_a_result_and_its_images_stay_and_intermediate_blobs_are_deleted(
    world: World,
) -> None:
    result, image = world.put("results", 1, "w"), world.put("images", 1, "a.jpeg")
    parts = [
        world.put("results", 1, f"w.{number}-{number + 9}")
        for number in range(ALWAYS_DELETABLE + 1)
    ]
    parts.append(world.put("results", 1, "v"))
    world.upkeep.documents = [record(state="completed", result=Blob(result, 3, events.SHA256))]
    assert await world.sweep() == len(parts)
    assert set(world.blobs.stored) == {result, image}


async def test_leftovers_of_another_engine_are_deleted_in_any_number(
    world: World,
) -> None:
    """As when Mistral has read a half of it, and the local engine the whole."""
    for number in range(2 * ALWAYS_DELETABLE):
        world.put("images", 1, f"{number}.jpeg")
        world.put("results", 1, f"w.{number}")
    world.upkeep.documents = [record(state="completed")]
    assert await world.sweep() == 4 * ALWAYS_DELETABLE
    assert world.blobs.stored == {}


async def test_paid_parts_of_a_failed_document_stay(world: World) -> None:
    expected = {world.put("results", 1, "w.0"), world.put("images", 1, "a.jpeg")}
    world.put("markdown", 1, "late")
    world.upkeep.documents = [record(state="failed")]
    assert await world.sweep() == 1
    assert set(world.blobs.stored) == expected


async def test_results_of_unknown_documents_are_treated_as_orphans(
    world: World,
) -> None:
    for number in range(ALWAYS_DELETABLE + 1):
        world.put("results", number, "w")
    with pytest.raises(TooManyOrphans, match="database"):
        await world.sweep()
    assert len(world.blobs.stored) == ALWAYS_DELETABLE + 1


async def test_all_blobs_of_an_unfinished_document_stay(world: World) -> None:
    world.put("originals", 1, "a")
    world.put("markdown", 1, "b")
    world.put("results", 1, "w.0")
    world.put("images", 1, "a.jpeg")
    world.upkeep.documents = [record(state="processing")]
    assert await world.sweep() == 0


async def test_blobs_of_documents_found_only_in_the_log_stay(world: World) -> None:
    world.put("originals", 1, "a")
    await world.publisher.publish(events.submitted())
    assert await world.sweep() == 0


async def test_late_blobs_of_an_erased_document_are_deleted(world: World) -> None:
    world.put("markdown", 1, "late")
    world.upkeep.documents = [record(state="deleted", removed_at=LONG_AGO, erased_at=LONG_AGO)]
    assert await world.sweep() == 1


async def test_leftovers_of_a_removed_document_are_deleted_at_any_age(world: World) -> None:
    """As what an attempt that was killed had stored: no event names it, so nothing erases it."""
    kinds = tuple(prefix.rstrip("/") for prefix in PREFIXES)
    for number in range(ALWAYS_DELETABLE + 1):
        for kind in kinds:
            world.put(kind, number, "late", NOW)
    world.upkeep.documents = [
        record(number, "cancelled", removed_at=NOW) for number in range(ALWAYS_DELETABLE + 1)
    ]
    assert await world.sweep() == len(kinds) * (ALWAYS_DELETABLE + 1)
    assert world.blobs.stored == {}


async def test_all_blobs_of_a_batch_that_is_not_submitted_yet_stay(world: World) -> None:
    batch = batch_events.submitted()
    key = f"originals/default/{batch.documents[0].document_id}.a"
    world.blobs.stored[key], world.blobs.modified[key] = b"foo", LONG_AGO
    await world.publisher.publish(batch)
    assert await world.sweep() == 0


async def test_uploads_that_were_given_up_go_however_many_they_are(world: World) -> None:
    for number in range(ALWAYS_DELETABLE + 1):
        world.put("uploads", number, "request")
    assert await world.sweep() == ALWAYS_DELETABLE + 1


async def test_uploads_by_url_go_whether_completed_or_not(world: World) -> None:
    world.put("uploads", 1, "request")
    world.put("uploads", 2, "request")
    world.upkeep.documents = [record(2, state="completed")]
    assert await world.sweep() == 2


async def test_archived_originals_stay(world: World) -> None:
    key = world.put("archive", 1, "a")
    world.upkeep.documents = [record(state="archived", original=Blob(key, 3, events.SHA256))]
    assert await world.sweep() == 0


async def test_nothing_is_deleted_from_the_store_of_another_database(world: World) -> None:
    for number in range(ALWAYS_DELETABLE + 1):
        world.put("originals", number, "a")
    with pytest.raises(TooManyOrphans, match="database"):
        await world.sweep()
    assert len(world.blobs.stored) == ALWAYS_DELETABLE + 1


async def test_blobs_older_than_the_database_are_not_deleted(world: World) -> None:
    world.upkeep.initial_sweep = NOW - MIN_ORPHAN_AGE
    world.put("originals", 1, "a")
    stale = world.put("originals", 2, "b")
    world.upkeep.documents = [record(2, "completed")]
    assert await world.sweep() == 1
    assert stale not in world.blobs.stored


async def test_foreign_blob_keys_are_ignored(world: World) -> None:
    world.blobs.stored["originals/notes.txt"] = b"mine"
    world.blobs.modified["originals/notes.txt"] = LONG_AGO
    assert await world.sweep() == 0


async def test_a_store_larger_than_a_pass_is_walked_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PASS_SIZE", 3)
    expected = [world.put("originals", number, "a") for number in range(1, 9)]
    world.upkeep.documents = [
        record(number, "completed", original=Blob(key, 3, events.SHA256))
        for number, key in enumerate(expected, 1)
    ]
    world.put("originals", 8, "z")
    found = sum([await world.orphans.sweep(NOW) for _ in range(3)])
    assert found == 1
    assert set(world.blobs.stored) == set(expected)


class Lost:
    """A log that has lost everything of long ago."""

    async def record_loss(self, _cursor: Cursor, _log: StreamIdentity) -> None:
        """Nobody reads it."""

    def may_affect(self, stored_at: datetime) -> bool:
        return stored_at <= LONG_AGO


async def test_originals_whose_submission_may_have_been_lost_stay_for_ever(world: World) -> None:
    expected = world.put("originals", 1, "a")
    world.put("originals", 2, "a", LONG_AGO + timedelta(seconds=30))
    world.put("markdown", 1, "a")
    world.orphans = Orphans(Log(world.connection), world.upkeep, world.blobs, Lost())
    assert await world.sweep() == 2
    assert list(world.blobs.stored) == [expected]


async def test_passwords_go_when_their_documents_have_ended_and_stay_until_then(
    world: World,
) -> None:
    ended, unfinished = world.put("passwords", 1, "", NOW), world.put("passwords", 2, "")
    never_submitted = [
        world.put("passwords", number, "") for number in range(10, 12 + ALWAYS_DELETABLE)
    ]
    young = world.put("passwords", 4, "", NOW)
    world.upkeep.documents = [record(1, state="failed"), record(2, state="processing")]
    assert await world.sweep() == 1 + len(never_submitted)
    assert ended not in world.blobs.stored
    assert set(world.blobs.stored) == {unfinished, young}
