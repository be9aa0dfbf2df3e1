"""Whether the blob store is the one this database belongs to, asked at the start and now and then.

A bucket that was emptied, or another one in its place, answers every question: with "not there".
"""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from actors.ports import Blobs, StorageMisplaced, StorageUnavailable
from ilios.blobs import sampling
from ilios.database.blob_names import EVER
from ilios.faults import Faults

LOOK_EVERY = 5.0  # seconds
LOOK_AGAIN_AFTER = 1.0  # seconds, while it is the wrong one
SOURCE = "blob store"
LOST = "blobs.lost"
"""The file whose time is a limit: what was submitted before is not looked for in the store."""

log = structlog.get_logger("blobs")


class Names(Protocol):
    """Where the keys of blobs come from that were stored once."""

    async def some(self, since: datetime = EVER) -> list[str]:
        """Return keys of a few documents that were submitted ``since`` then."""
        ...


class Expected:
    """The blobs that must be there. ``mark`` is the file that gives up those of before."""

    def __init__(self, names: Names, mark: Path) -> None:
        self._names = names
        self._mark = mark

    async def keys(self) -> list[str]:
        """Return the keys of a few of them."""
        return await self._names.some(await asyncio.to_thread(_time_of, self._mark))

    def advised(self, error: StorageMisplaced) -> str:
        """Return what is wrong, and what to do, also where they are lost for good."""
        found = str(error)
        return (
            f"{found}{'' if found.endswith('?') else '.'} The service goes on by itself when they "
            f"are there. If they are lost for good, make the file {self._mark} (touch): documents "
            "submitted before its time answer 410"
        )


class BlobProof:
    """Looks for expected blobs, and reports a fault that blocks while none of them is there."""

    def __init__(self, store: Blobs, expected: Expected, faults: Faults) -> None:
        self._store = store
        self._expected = expected
        self._faults = faults
        self._looking = asyncio.Lock()
        self._found: StorageMisplaced | None = None
        self._looked_at = float("-inf")  # when the last look that was answered began

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(LOOK_EVERY if self._found is None else LOOK_AGAIN_AFTER)

    def refuse(self) -> None:
        """Return unless the store is not the one it must be.

        :raises StorageMisplaced: it is not.
        """
        if self._found is not None:
            raise StorageMisplaced(str(self._found))

    async def doubt(self) -> None:
        """Look now, because a blob is missing; return if that is to be believed.

        :raises StorageUnavailable: the store is not the one it must be, or cannot be asked.
        """
        missed_at = time.monotonic()
        async with self._looking:
            # One look is enough for all who missed a blob before it began. One of before proves
            # nothing: the store may have been emptied since.
            if self._looked_at < missed_at:
                await self._look_now()
        self.refuse()

    async def _look(self) -> None:
        async with self._looking:
            try:
                await self._look_now()
            except StorageUnavailable as error:
                log.debug("blobs cannot be looked for", reason=str(error))

    async def _look_now(self) -> None:
        began_at = time.monotonic()
        try:
            await self._store.check()
            await self._look_for_some()
        except StorageMisplaced as error:
            self._found = error
            problem = f"{self._expected.advised(error)}, from the next start on"
            self._faults.report(SOURCE, problem, blocking=True)
        else:
            self._found = None
            self._faults.resolve(SOURCE)
        self._looked_at = began_at

    async def _look_for_some(self) -> None:
        keys = await self._expected.keys()
        while True:
            try:
                return await sampling.look(self._store, keys)
            except StorageMisplaced:
                before, keys = keys, await self._expected.keys()
                if keys == before:
                    raise
                # Else they were of documents that have been removed meanwhile.


def _time_of(mark: Path) -> datetime:
    try:
        return datetime.fromtimestamp(mark.stat().st_mtime, UTC)
    except OSError:
        return EVER
