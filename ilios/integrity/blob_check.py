"""Check that the blob store belongs to this database, at the start and periodically.

An emptied bucket, or another one in its place, answers every request, but has no blob.
"""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import structlog

from actors.ports import Blobs, StorageMismatch, StorageUnavailable
from bus.connection import Connection
from ilios.blobs import factory
from ilios.database.queries import EPOCH
from ilios.integrity import missing_database
from ilios.integrity.faults import Faults

CHECK_INTERVAL = 5.0  # seconds
RECHECK_INTERVAL = 1.0  # seconds, while it is the wrong one
SOURCE = "blob store"
LOST_BEFORE_FILE = "blobs.lost"
"""A file of the operator: blobs of documents submitted before its time are not expected."""

log = structlog.get_logger("blobs")


class BlobKeySource(Protocol):
    """The database, as a source of keys of blobs that were stored."""

    async def sample_keys(self, since: datetime = EPOCH) -> list[str]:
        """Return keys of a few documents that were submitted after ``since``."""
        ...


class ExpectedBlobs:
    """Blobs that must be in the store, except those older than ``lost_before_file``."""

    def __init__(self, key_source: BlobKeySource, lost_before_file: Path) -> None:
        self._key_source = key_source
        self._lost_before_file = lost_before_file

    async def keys(self) -> list[str]:
        """Return a sample of their keys."""
        return await self._key_source.sample_keys(
            await asyncio.to_thread(_modified_at, self._lost_before_file)
        )

    async def ensure_directory(self, directory: Path, log: Connection) -> None:
        """Check that a directory of blobs exists where a service has run.

        Those of documents on the log that are not yet in the database are not in the sample.

        :raises StorageMismatch: it does not, and the log has events; it was not created.
        :raises BusUnavailable: the log does not answer.
        """
        if await self.keys():
            return  # they are looked for when the directory is opened
        paths = (directory, self._lost_before_file)
        if any([await asyncio.to_thread(path.exists) for path in paths]):
            return
        if await missing_database.has_events(log):
            raise StorageMismatch(
                self.with_advice(
                    StorageMismatch(
                        f"the log has documents, and the directory {directory} of their blobs is "
                        "missing: is its volume mounted, is it the right place (ILIOS_DATA_DIR)?"
                    )
                )
            )

    def with_advice(self, error: StorageMismatch) -> str:
        """Return the error with advice, also for blobs that are lost for good."""
        found = str(error)
        return (
            f"{found}{'' if found.endswith('?') else '.'} The service goes on by itself when they "
            f"are there. If they are lost for good, make the file {self._lost_before_file} "
            "(touch): documents "
            "submitted before its time answer 410"
        )


class BlobStoreCheck:
    """Looks for expected blobs; reports a blocking fault while none of them is found."""

    def __init__(self, store: Blobs, expected: ExpectedBlobs, faults: Faults) -> None:
        self._store = store
        self._expected = expected
        self._faults = faults
        self._lock = asyncio.Lock()
        self._problem: StorageMismatch | None = None
        self._checked_at = float("-inf")  # when the last answered check began

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self._check()
            await asyncio.sleep(CHECK_INTERVAL if self._problem is None else RECHECK_INTERVAL)

    def raise_if_misplaced(self) -> None:
        """Raise the result of the last check.

        :raises StorageMismatch: the store is the wrong one.
        """
        if self._problem is not None:
            raise StorageMismatch(str(self._problem))

    async def recheck(self) -> None:
        """Check now, because a blob is missing; return if the store is the right one.

        :raises StorageUnavailable: the store is the wrong one, or does not answer.
        """
        missed_at = time.monotonic()
        async with self._lock:
            # One check serves all callers that missed a blob before it began. An earlier one proves
            # nothing: the store may have been emptied since.
            if self._checked_at < missed_at:
                await self._check_now()
        self.raise_if_misplaced()

    async def _check(self) -> None:
        async with self._lock:
            try:
                await self._check_now()
            except StorageUnavailable as error:
                log.debug("blob check failed", reason=str(error))

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
                return await factory.ensure_any_present(self._store, keys)
            except StorageMismatch:
                before, keys = keys, await self._expected.keys()
                if keys == before:
                    raise
                # Else the documents of that sample were removed meanwhile.


def _modified_at(file: Path) -> datetime:
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError:
        return EPOCH
