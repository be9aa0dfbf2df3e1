"""A move between stores copies what is missing, and believes only what it has read back."""

from collections.abc import AsyncIterable
from pathlib import Path

import pytest

from actors.ports import StorageUnavailable
from ilios.blobs.local import LocalBlobs
from ilios.blobs.relocation import Progress, copy_all, remove_all, remove_directory
from schemas.documents import Blob
from tests.ilios.blobs.contents import list_keys, read_blob

KEYS = [f"originals/default/{number}" for number in range(20)]


class Forgetful(LocalBlobs):
    """A store that reports a put as it should be, and has stored other bytes."""

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        stored = await super().put(key, chunks)
        await super().put_bytes(key, b"x" * stored.size)
        return stored


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    async with LocalBlobs.open(tmp_path / "from") as source:
        for key in KEYS:
            await source.put_bytes(key, key.encode())
    return tmp_path / "from"


async def test_missing_blobs_are_copied_and_those_that_are_there_are_proven(
    filled: Path, tmp_path: Path
) -> None:
    progress = Progress()
    async with LocalBlobs.open(filled) as source, LocalBlobs.open(tmp_path / "to") as target:
        await target.put_bytes(KEYS[3], KEYS[3].encode())
        await copy_all(source, target, progress, lambda _: None)
        assert (progress.proven, progress.copied, progress.different) == (20, 19, [])
        assert sorted(await list_keys(target)) == sorted(KEYS)
        assert await read_blob(target, KEYS[7]) == KEYS[7].encode()
        assert await remove_all(source) == 20
    (filled / "core.mark").touch()
    assert remove_directory(filled)
    assert not filled.exists()


async def test_other_bytes_under_a_key_are_reported_and_not_replaced(
    filled: Path, tmp_path: Path
) -> None:
    progress = Progress()
    async with LocalBlobs.open(filled) as source, LocalBlobs.open(tmp_path / "to") as target:
        await target.put_bytes(KEYS[3], b"another")
        await copy_all(source, target, progress, lambda _: None)
        assert (progress.proven, progress.different) == (19, [KEYS[3]])
        assert await read_blob(target, KEYS[3]) == b"another"


async def test_a_store_that_returns_other_bytes_than_were_put_ends_the_move(
    filled: Path, tmp_path: Path
) -> None:
    async with LocalBlobs.open(filled) as source, Forgetful.open(tmp_path / "to") as target:
        with pytest.raises(StorageUnavailable, match="returns other bytes of originals/"):
            await copy_all(source, target, Progress(), lambda _: None)


async def test_what_is_no_blob_stays_with_its_directory(filled: Path) -> None:
    (filled / "ab" / "Notes.txt").write_text("of the operator")
    async with LocalBlobs.open(filled) as source:
        await remove_all(source)
    assert not remove_directory(filled)
    assert [path.name for path in filled.iterdir()] == ["ab"]
