"""Whether the blob store is the one this database belongs to, asked at the start and now and then.

A bucket that was emptied, or another one in its place, answers every question: with "not there".
"""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from actors.ports import Blobs, StorageMismatch, StorageUnavailable
from ilios.blobs import sampling
from ilios.database.integrity_queries import EPOCH
from ilios.integrity.faults import Faults

LOOK_EVERY = 5.0  # seconds
LOOK_AGAIN_AFTER = 1.0  # seconds, while it is the wrong one
SOURCE = "blob store"
LOST_BEFORE_FILE = "blobs.lost"
"""The file whose time is a limit: what was submitted before is not looked for in the store."""

log = structlog.get_logger("blobs")


class BlobKeySource(Protocol):
    """Where the keys of blobs come from that were stored once."""

    async def sample_keys(self, since: datetime = EPOCH) -> list[str]:
        """Return keys of a few documents that were submitted ``since`` then."""
        ...


class ExpectedBlobs:
    """The blobs that must be there. ``mark`` is the file that gives up those of before."""

    def __init__(self, key_source: BlobKeySource, lost_before_file: Path) -> None:
        self._key_source = key_source
        self._lost_before_file = lost_before_file

    async def keys(self) -> list[str]:
        """Return the keys of a few of them."""
        return await self._key_source.sample_keys(
            await asyncio.to_thread(_modified_at, self._lost_before_file)
        )

    def with_advice(self, error: StorageMismatch) -> str:
        """Return what is wrong, and what to do, also where they are lost for good."""
        found = str(error)
        return (
            f"{found}{'' if found.endswith('?') else '.'} The service goes on by itself when they "
            f"are there. If they are lost for good, make the file {self._lost_before_file} "
            "(touch): documents "
            "submitted before its time answer 410"
        )


class BlobStoreCheck:
    """Looks for expected blobs, and reports a fault that blocks while none of them is there."""

    def __init__(self, store: Blobs, expected: ExpectedBlobs, faults: Faults) -> None:
        self._store = store
        self._expected = expected
        self._faults = faults
        self._lock = asyncio.Lock()
        self._problem: StorageMismatch | None = None
        self._checked_at = float("-inf")  # when the last look that was answered began

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._check()
            await asyncio.sleep(LOOK_EVERY if self._problem is None else LOOK_AGAIN_AFTER)

    def raise_if_misplaced(self) -> None:
        """Return unless the store is not the one it must be.

        :raises StorageMisplaced: it is not.
        """
        if self._problem is not None:
            raise StorageMismatch(str(self._problem))

    async def recheck(self) -> None:
        """Look now, because a blob is missing; return if that is to be believed.

        :raises StorageUnavailable: the store is not the one it must be, or cannot be asked.
        """
        missed_at = time.monotonic()
        async with self._lock:
            # One look is enough for all who missed a blob before it began. One of before proves
            # nothing: the store may have been emptied since.
            if self._checked_at < missed_at:
                await self._check_now()
        self.raise_if_misplaced()

    async def _check(self) -> None:
        async with self._lock:
            try:
                await self._check_now()
            except StorageUnavailable as error:
                log.debug("blobs cannot be looked for", reason=str(error))

    async def _check_now(self) -> None:
        began_at = time.monotonic()
        try:
            await self._store.check()
            await self._check_sample()
        except StorageMismatch as error:
            self._problem = error
            problem = f"{self._expected.with_advice(error)}, from the next start on"
            self._faults.report(SOURCE, problem, blocking=True)
        else:
            self._problem = None
            self._faults.resolve(SOURCE)
        self._checked_at = began_at

    async def _check_sample(self) -> None:
        keys = await self._expected.keys()
        while True:
            try:
                return await sampling.ensure_any_present(self._store, keys)
            except StorageMismatch:
                before, keys = keys, await self._expected.keys()
                if keys == before:
                    raise
                # Else they were of documents that have been removed meanwhile.


def _modified_at(mark: Path) -> datetime:
    try:
        return datetime.fromtimestamp(mark.stat().st_mtime, UTC)
    except OSError:
        return EPOCH
