"""One check serves all callers that miss a blob, unless it began before."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from actors.blob_keys import original_key
from actors.ports import StorageMismatch
from bus.connection import Connection
from bus.publisher import Publisher
from ilios.blobs.local import LocalBlobs
from ilios.database.queries import EPOCH
from ilios.integrity.blob_check import BlobStoreCheck, ExpectedBlobs
from ilios.integrity.faults import Faults
from tests import events

KEYS = [original_key("default", letter * 24) for letter in "ab"]


class FakeKeySource:
    """Names of blobs, as the database gives them; counts how often."""

    def __init__(self, keys: list[str] = KEYS) -> None:
        self.asked = 0
        self._keys = keys

    async def sample_keys(self, _since: datetime = EPOCH) -> list[str]:
        self.asked += 1
        return self._keys


@pytest.fixture
async def store(blob_root: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(blob_root) as store:
        for key in KEYS:
            await store.put_bytes(key, b"bytes")
        yield store


async def test_a_store_that_was_right_a_moment_ago_may_be_emptied_now(
    store: LocalBlobs, tmp_path: Path
) -> None:
    faults = Faults()
    proof = BlobStoreCheck(store, ExpectedBlobs(FakeKeySource(), tmp_path / "lost"), faults)
    await proof.recheck()
    for key in KEYS:
        await store.delete(key)
    with pytest.raises(StorageMismatch, match="none of 2 blobs"):
        await proof.recheck()
    assert faults.blocking
    assert "was it emptied? The service goes on" in faults.blocking
    for key in KEYS:
        await store.put_bytes(key, b"bytes")
    await proof.recheck()
    assert not faults.blocking


async def test_one_check_serves_all_callers_that_miss_a_blob(
    store: LocalBlobs, tmp_path: Path
) -> None:
    names = FakeKeySource()
    proof = BlobStoreCheck(store, ExpectedBlobs(names, tmp_path / "lost"), Faults())
    await asyncio.gather(*(proof.recheck() for _ in range(100)))
    assert names.asked <= 2


async def test_documents_that_are_only_on_the_log_expect_the_directory_of_their_blobs(
    connection: Connection, tmp_path: Path
) -> None:
    directory, given_up = tmp_path / "blobs", tmp_path / "blobs.lost"
    expected = ExpectedBlobs(FakeKeySource([]), given_up)
    await expected.ensure_directory(directory, connection)
    await Publisher(connection).publish(events.submitted(1))
    with pytest.raises(StorageMismatch, match=f"directory {directory} of their blobs is missing"):
        await expected.ensure_directory(directory, connection)
    given_up.touch()
    await expected.ensure_directory(directory, connection)
    given_up.unlink()
    directory.mkdir()
    await expected.ensure_directory(directory, connection)
