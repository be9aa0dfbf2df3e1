"""Deletion of sealed passwords at the end of their documents."""

import asyncio
import time
from itertools import islice

import structlog

from actors.blob_keys import PASSWORDS, owner_of, password_key
from actors.ports import Blobs, MaintenanceQueries, StorageUnavailable
from schemas.states import UNFINISHED_STATES

POLL_INTERVAL = 1.0  # seconds between looks at the documents that have a password
PASS_SIZE = 500  # documents of one look
MAX_UNSUBMITTED = 7200.0  # seconds for which a document is waited for that was not submitted
PAGE_SIZE = 1000  # blobs of one page of the listing at the start

log = structlog.get_logger("janitor")


class PasswordErasure:
    """Watches the documents that have a password; the others cost nothing.

    Those of former processes are found by one listing at the start. What is missed, as a password
    whose document was never submitted, is an orphan.
    """

    def __init__(self, queries: MaintenanceQueries, blobs: Blobs) -> None:
        self._queries = queries
        self._blobs = blobs
        self._watched: dict[tuple[str, str], float] = {}  # since when
        self._added = asyncio.Event()

    def watch(self, tenant: str, document_id: str) -> None:
        """Delete the password of a document when that ends."""
        self._watched[tenant, document_id] = time.monotonic()
        self._added.set()

    async def run(self) -> None:
        """Delete passwords until cancelled."""
        while True:
            try:
                await self._watch_stored()
                break
            except StorageUnavailable as error:
                log.warning("stored passwords not listed yet", reason=str(error))
                await asyncio.sleep(POLL_INTERVAL)
        while True:
            await self._added.wait()
            await self.sweep()
            if not self._watched:
                self._added.clear()
            await asyncio.sleep(POLL_INTERVAL)

    async def sweep(self) -> int:
        """Delete the passwords of watched documents that have ended; returns how many."""
        names = list(islice(self._watched, PASS_SIZE))
        for name in names:  # to the end of the queue
            self._watched[name] = self._watched.pop(name)
        deleted = 0
        documents = await self._queries.lookup(names)
        for name in set(names) - {(one.tenant, one.document_id) for one in documents}:
            if time.monotonic() - self._watched[name] > MAX_UNSUBMITTED:
                del self._watched[name]
        for document in documents:
            if document.state in UNFINISHED_STATES:
                continue
            name = (document.tenant, document.document_id)
            try:
                await self._blobs.delete(password_key(*name))
            except (OSError, StorageUnavailable) as error:
                log.warning("password not deleted yet", document_id=name[1], error=str(error))
                continue
            self._watched.pop(name, None)
            deleted += 1
            log.info("password deleted", tenant=name[0], document_id=name[1])
        return deleted

    async def _watch_stored(self) -> None:
        position = None
        while True:
            found, position = await self._blobs.list_page(PASSWORDS, position, PAGE_SIZE)
            for blob in found:
                if (owner := owner_of(blob.key)) is not None:
                    self.watch(owner.tenant, owner.document_id)
            if position is None:
                return
