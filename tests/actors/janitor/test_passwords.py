"""A password is deleted when its document ends, whichever process has stored it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.blob_keys import password_key
from actors.janitor import passwords as module
from actors.janitor.passwords import PasswordErasure
from actors.ports import StorageUnavailable
from tests import events
from tests.actors.fakes import FakeBlobs
from tests.actors.janitor.queries import FakeMaintenanceQueries, record
from tests.actors.running import running_in_background
from tests.waiting import wait_until

ENDED = ("completed", "failed", "archived", "cancelled", "deleted")


class Store(FakeBlobs):
    """Blobs in memory; the next ``failures`` deletions fail."""

    failures = 0

    async def delete(self, key: str) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("away")
        await super().delete(key)


class World:
    def __init__(self, directory: Path) -> None:
        self.blobs = Store(directory)
        self.queries = FakeMaintenanceQueries()
        self.erasure = PasswordErasure(self.queries, self.blobs)

    def put(self, number: int) -> str:
        key = password_key("default", events.id_of(number))
        self.blobs.stored[key] = b"sealed"
        self.blobs.modified[key] = datetime.now(UTC)
        return key

    def watch(self, number: int) -> str:
        self.erasure.watch("default", events.id_of(number))
        return self.put(number)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "POLL_INTERVAL", 0.01)
    return World(tmp_path)


async def test_the_password_of_a_document_that_has_ended_is_deleted(world: World) -> None:
    for number in range(len(ENDED)):
        world.watch(number)
    unfinished = {world.watch(100), world.watch(101)}
    unsubmitted = {world.watch(102)}
    world.queries.documents = [
        *(record(number, state=state) for number, state in enumerate(ENDED)),
        record(100, state="pending"),
        record(101, state="processing"),
    ]
    assert await world.erasure.sweep() == len(ENDED)
    assert set(world.blobs.stored) == unfinished | unsubmitted
    assert await world.erasure.sweep() == 0


async def test_passwords_of_a_former_process_are_found_and_new_ones_noticed(world: World) -> None:
    world.put(1)
    world.queries.documents = [record(1, state="completed"), record(2, state="failed")]
    async with running_in_background(world.erasure.run):
        await wait_until(lambda: not world.blobs.stored)
        world.watch(2)
        await wait_until(lambda: not world.blobs.stored)


async def test_a_store_that_is_away_is_asked_again(world: World) -> None:
    world.watch(1)
    world.blobs.failures = 3
    world.queries.documents = [record(1, state="completed")]
    async with running_in_background(world.erasure.run):
        await wait_until(lambda: not world.blobs.stored)


async def test_all_documents_get_their_turn_and_none_is_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PASS_SIZE", 2)
    for number in range(5):
        world.watch(number)
    world.queries.documents = [record(4, state="completed")]
    assert [await world.erasure.sweep() for _ in range(3)].count(1) == 1
    monkeypatch.setattr(module, "MAX_UNSUBMITTED", -1.0)
    for _ in range(3):
        await world.erasure.sweep()
    world.queries.documents = [record(0, state="completed")]
    assert await world.erasure.sweep() == 0, "it is left to the search for orphans"
