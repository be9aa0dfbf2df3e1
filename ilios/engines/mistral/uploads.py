"""Documents in requests: inline, or uploaded before the call and deleted after it.

The names of uploads have the installation's prefix, so that uploads of a killed process can be
found and deleted.
"""

import asyncio
import base64
import contextlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import structlog

from ilios.engines.mistral import INLINE_BYTES
from ilios.engines.mistral.calls import RetryingCalls
from ilios.engines.mistral.client import MistralClient
from ilios.engines.mistral.errors import CALL_ERRORS
from ilios.engines.mistral.records import Purpose
from ilios.engines.mistral.small_documents import read_small

DELETE_WITHIN = 15.0  # seconds
SWEEP_INTERVAL = 600.0  # seconds between sweeps for uploads left behind

SINGLE_INFIX, BATCH_INFIX = "one-", "batch-"
"""Parts of the names of uploads, after the prefix: for one call, for a batch job."""

log = structlog.get_logger("mistral")

DocumentReference = dict[str, Any]
"""A document as a request has it."""


class Uploads:
    """Uploads documents and deletes them. ``prefix`` is that of this installation."""

    def __init__(self, client: MistralClient, calls: RetryingCalls, prefix: str) -> None:
        self._client = client
        self._calls = calls
        self._prefix = prefix
        self._in_use: set[str] = set()

    @asynccontextmanager
    async def document_upload(
        self, source: Path | bytes, content_type: str, document_id: str
    ) -> AsyncIterator["DocumentUpload"]:
        """Yield the upload of a document; it is deleted afterwards."""
        upload = DocumentUpload(self, source, content_type, document_id)
        try:
            yield upload
        finally:
            if upload.file_id is not None:
                # Shielded: the upload of a cancelled document is deleted as well.
                await asyncio.shield(self.delete(upload.file_id))

    async def sweep(self) -> int:
        """Delete uploads that were left behind; return how many."""
        found = await self._client.list_files(self._prefix + SINGLE_INFIX)
        left = [one for one in found if one.id not in self._in_use]
        for file in left:
            await self._client.delete(file.id)
            log.info("leftover upload deleted", file_id=file.id, name=file.name)
        return len(left)

    async def batch_document(self, name: str, source: Path, content_type: str) -> DocumentReference:
        """Return a document for a batch request; :meth:`delete_batch` deletes its upload."""
        inline = await asyncio.to_thread(_inline, source, content_type)
        if inline is not None:
            return inline

        async def once() -> str:
            with source.open("rb") as content:
                return await self._client.upload(self._batch_prefix(name) + "document", content)

        return {"type": "file", "file_id": await self._calls.run(once)}

    async def upload_requests(self, name: str, file: IO[bytes]) -> str:
        """Upload the requests of a batch job and return the id of the file."""
        return await self._client.upload(self._batch_prefix(name) + "requests.jsonl", file, "batch")

    async def delete_batch(self, name: str) -> None:
        """Delete all uploads of a batch."""
        purposes: tuple[Purpose, ...] = ("ocr", "batch")
        for purpose in purposes:
            list_files = partial(self._client.list_files, self._batch_prefix(name), purpose)
            for file in await self._calls.run(list_files):
                await self._calls.run(partial(self._client.delete, file.id))

    async def run(self) -> None:
        """Sweep from time to time, until cancelled; errors are left to the next sweep."""
        while True:
            with contextlib.suppress(*CALL_ERRORS):
                await self.sweep()
            await asyncio.sleep(SWEEP_INTERVAL)

    def _batch_prefix(self, name: str) -> str:
        return f"{self._prefix}{BATCH_INFIX}{name}-"

    async def upload(self, source: Path | bytes, name: str) -> str:
        """Upload a document and return the id of its file. Errors as ``RetryingCalls.run``."""

        async def once() -> str:
            with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as content:
                file_id = await self._client.upload(f"{self._prefix}{SINGLE_INFIX}{name}", content)
            self._in_use.add(file_id)
            return file_id

        return await self._calls.run(once)

    async def delete(self, file_id: str) -> None:
        """Delete an upload; an error leaves it to a later sweep."""
        try:
            async with asyncio.timeout(DELETE_WITHIN):
                await self._client.delete(file_id)
        except CALL_ERRORS as error:
            log.warning("upload not deleted yet", file_id=file_id, error=type(error).__name__)
        finally:
            self._in_use.discard(file_id)  # the next sweep may delete it


class DocumentUpload:
    """A document for several requests. ``file_id`` is that of its upload, if there is one."""

    def __init__(
        self, uploads: Uploads, source: Path | bytes, content_type: str, document_id: str
    ) -> None:
        self._uploads = uploads
        self._source = source
        self._content_type = content_type
        self._document_id = document_id
        self.file_id: str | None = None

    async def reference(self) -> DocumentReference:
        """Return the document for a request; a large one is uploaded by the first."""
        if self.file_id is None:
            inline = await self._inline()
            if inline is not None:
                return inline
            ending = self._content_type.rpartition("/")[2].rpartition(".")[2]
            self.file_id = await self._uploads.upload(self._source, f"{self._document_id}.{ending}")
        return {"type": "file", "file_id": self.file_id}

    async def _inline(self) -> DocumentReference | None:
        if isinstance(self._source, Path) and (small := read_small(self._source)) is not None:
            return _inline(small, self._content_type)
        return await asyncio.to_thread(_inline, self._source, self._content_type)

    def reset(self) -> None:
        """Upload it again for the next request.

        Users report that the API has one file for all uploads of the same bytes: then the first
        of several documents to be finished deletes the file of the others.
        """
        self.file_id = None


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _inline(source: Path | bytes, content_type: str) -> DocumentReference | None:
    """Return a document inline; None if it is too large."""
    if _size(source) > INLINE_BYTES:
        return None
    data = source if isinstance(source, bytes) else source.read_bytes()
    url = f"data:{content_type};base64,{base64.b64encode(data).decode()}"
    if content_type.startswith("image/"):
        return {"type": "image_url", "image_url": url}
    return {"type": "document_url", "document_url": url}
