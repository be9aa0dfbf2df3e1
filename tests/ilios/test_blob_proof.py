"""A store is looked at for everybody who misses a blob, and never by what it was before."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from actors.keys import original_key
from actors.ports import StorageMisplaced
from ilios.blob_proof import BlobProof, Expected
from ilios.blobs.local import LocalBlobs
from ilios.database.blob_names import EVER
from ilios.faults import Faults

KEYS = [original_key("default", letter * 24) for letter in "ab"]


class Names:
    """Names of blobs, as the database gives them; counts how often."""

    def __init__(self) -> None:
        self.asked = 0

    async def some(self, _since: datetime = EVER) -> list[str]:
        self.asked += 1
        return KEYS


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(tmp_path / "blobs") as store:
        for key in KEYS:
            await store.put_bytes(key, b"bytes")
        yield store


async def test_a_store_that_was_right_a_moment_ago_may_be_emptied_now(
    store: LocalBlobs, tmp_path: Path
) -> None:
    faults = Faults()
    proof = BlobProof(store, Expected(Names(), tmp_path / "lost"), faults)
    await proof.doubt()
    for key in KEYS:
        await store.delete(key)
    with pytest.raises(StorageMisplaced, match="none of 2 blobs"):
        await proof.doubt()
    assert faults.blocking
    assert "was it emptied? The service goes on" in faults.blocking
    for key in KEYS:
        await store.put_bytes(key, b"bytes")
    await proof.doubt()
    assert not faults.blocking


async def test_one_look_is_enough_for_all_who_miss_a_blob_at_the_same_time(
    store: LocalBlobs, tmp_path: Path
) -> None:
    names = Names()
    proof = BlobProof(store, Expected(names, tmp_path / "lost"), Faults())
    await asyncio.gather(*(proof.doubt() for _ in range(100)))
    assert names.asked <= 2
