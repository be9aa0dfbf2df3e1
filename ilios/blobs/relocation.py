"""Moving all blobs of a directory into another store.

Nothing is removed before every blob was read back from the other store with the size and the
SHA-256 of the original. What a killed move has copied is proven again by the next one.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from actors.ports import BlobNotFound, Blobs, StorageUnavailable, StoredBlob
from bus import failpoints
from ilios.blobs.layout import SHARDS, TMP_DIR
from ilios.blobs.shared_directory import MARK_FILE
from schemas.documents import Blob

PAGE = 500  # blobs that are listed at once
AT_ONCE = 8
"""Blobs in transfer: most of the time each waits for an answer of the store."""


class Progress(Struct):
    """Counts of a move so far, and the keys that have other bytes in the other store."""

    proven: int = 0
    proven_bytes: int = 0
    copied: int = 0
    different: list[str] = field(default_factory=list)


async def copy_all(
    source: Blobs, target: Blobs, progress: Progress, show: Callable[[Progress], None]
) -> None:
    """Copy what ``target`` does not have, and prove all of it by what is read back.

    A blob that is there with other bytes is not replaced, and is listed in ``progress``.

    :raises StorageUnavailable: a store fails, or returns other bytes than were put.
    """
    async for page in _pages(source):
        waiting = iter(page)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(page))):
                    group.create_task(_copy_each(source, target, waiting, progress))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        show(progress)


async def remove_all(source: Blobs) -> int:
    """Delete every blob of a store; returns their number."""
    removed = 0
    async for page in _pages(source):
        for blob in page:
            await source.delete(blob.key)
            failpoints.reach("moving.removed")
            removed += 1
    return removed


def remove_directory(root: Path) -> bool:
    """Remove the directories of a store without blobs; whether nothing else was in them."""
    for name in (MARK_FILE, f"{TMP_DIR}/lock"):
        (root / name).unlink(missing_ok=True)
    for directory in (*(root / shard for shard in SHARDS), root / TMP_DIR, root):
        with suppress(OSError):  # what is no blob stays, with the directory it is in
            os.rmdir(directory)
    return not root.exists()


async def _copy_each(
    source: Blobs, target: Blobs, blobs: Iterator[StoredBlob], progress: Progress
) -> None:
    for blob in blobs:
        key = blob.key
        original = await source.digest(key)
        stored = await _digest(target, key)
        if stored is None:
            if await target.put(key, source.read(key)) != original:
                raise StorageUnavailable(f"the blob {key} changes while it is read: check the disk")
            failpoints.reach("moving.copied")
            progress.copied += 1
            if (stored := await _digest(target, key)) != original:
                raise StorageUnavailable(
                    f"the other store returns other bytes of {key} than were put"
                )
        if stored == original:
            progress.proven += 1
            progress.proven_bytes += original.size
        else:
            progress.different.append(key)


async def _digest(store: Blobs, key: str) -> Blob | None:
    try:
        return await store.digest(key)
    except BlobNotFound:
        return None


async def _pages(store: Blobs) -> AsyncIterator[list[StoredBlob]]:
    position: str | None = None
    while True:
        page, position = await store.list_page("", position, PAGE)
        if page:
            yield page
        if position is None:
            return
