"""Documents on their way to the API: in the call itself, or uploaded before and deleted after.

Uploads bear a name of this installation's. So what a killed process has left at Mistral is known
when the next one starts, and deleted.
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

import httpx2
import structlog
from mistralai.client.errors import MistralError

from ilios.engines.mistral.calls import RetryingCalls
from ilios.engines.mistral.client import MistralClient
from ilios.engines.mistral.limits import INLINE_BYTES

DELETE_WITHIN = 15.0  # seconds
SWEEP_EVERY = 600.0  # seconds between looks for what could not be deleted

SINGLE_INFIX, BATCH_INFIX = "one-", "batch-"
"""Follow the prefix in the names of uploads for one call, and of those for a batch job."""

log = structlog.get_logger("mistral")

DocumentReference = dict[str, Any]
"""A document as a call names it."""


class Uploads:
    """Hands documents over. ``prefix`` begins the names of all uploads of this installation."""

    def __init__(self, client: MistralClient, calls: RetryingCalls, prefix: str) -> None:
        self._client = client
        self._calls = calls
        self._prefix = prefix
        self._in_use: set[str] = set()

    @asynccontextmanager
    async def document_upload(
        self, source: Path | bytes, content_type: str, document_id: str
    ) -> AsyncIterator["DocumentUpload"]:
        """Lend the handover of a document; whatever was uploaded is deleted afterwards."""
        upload = DocumentUpload(self, source, content_type, document_id)
        try:
            yield upload
        finally:
            if upload.file_id is not None:
                # Shielded: also of a document that was cancelled nothing is to stay there.
                await asyncio.shield(self.delete(upload.file_id))

    async def sweep(self) -> int:
        """Delete what former uploads have left; returns how many."""
        found = await self._client.list_files(self._prefix + SINGLE_INFIX)
        left = [one for one in found if one.id not in self._in_use]
        for file in left:
            await self._client.delete(file.id)
            log.info("upload left behind was deleted", file_id=file.id, name=file.name)
        return len(left)

    async def batch_document(self, name: str, source: Path, content_type: str) -> DocumentReference:
        """Return what a request of a batch job is to say of a document; ``forget`` deletes it."""
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
        """Delete whatever was uploaded for a batch."""
        for purpose in ("ocr", "batch"):
            look = partial(self._client.list_files, self._batch_prefix(name), purpose)
            for file in await self._calls.run(look):
                await self._calls.run(partial(self._client.delete, file.id))

    async def run(self) -> None:
        """Sweep now and again, for ever. What goes wrong with it is tried again the next time."""
        while True:
            with contextlib.suppress(MistralError, httpx2.HTTPError, TimeoutError):
                await self.sweep()
            await asyncio.sleep(SWEEP_EVERY)

    def _batch_prefix(self, name: str) -> str:
        return f"{self._prefix}{BATCH_INFIX}{name}-"

    async def upload(self, source: Path | bytes, name: str) -> str:
        """Upload a document and return the id of its file. Errors as ``Calls.do``."""

        async def once() -> str:
            with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as content:
                file_id = await self._client.upload(f"{self._prefix}{SINGLE_INFIX}{name}", content)
            self._in_use.add(file_id)
            return file_id

        return await self._calls.run(once)

    async def delete(self, file_id: str) -> None:
        """Delete an upload; one that cannot be deleted now is left to a later sweep."""
        try:
            async with asyncio.timeout(DELETE_WITHIN):
                await self._client.delete(file_id)
        except (MistralError, httpx2.HTTPError, TimeoutError) as error:
            log.warning("upload not deleted yet", file_id=file_id, error=type(error).__name__)
        finally:
            self._in_use.discard(file_id)  # the next sweep may have it


class DocumentUpload:
    """One document on its way. ``file_id`` is that of its upload, while there is one."""

    def __init__(
        self, uploads: Uploads, source: Path | bytes, content_type: str, document_id: str
    ) -> None:
        self._uploads = uploads
        self._source = source
        self._content_type = content_type
        self._document_id = document_id
        self.file_id: str | None = None

    async def reference(self) -> DocumentReference:
        """Return what a call is to say of the document; a large one is uploaded for the first."""
        if self.file_id is None:
            inline = await asyncio.to_thread(_inline, self._source, self._content_type)
            if inline is not None:
                return inline
            ending = self._content_type.rpartition("/")[2].rpartition(".")[2]
            self.file_id = await self._uploads.upload(self._source, f"{self._document_id}.{ending}")
        return {"type": "file", "file_id": self.file_id}

    def reset(self) -> None:
        """Upload it anew for the next call: users report one file for all uploads of its bytes.

        Then whoever is first through with it deletes that of the others, too.
        """
        self.file_id = None


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _inline(source: Path | bytes, content_type: str) -> DocumentReference | None:
    """Return a document as it goes into a call; None where it is too large for that."""
    if _size(source) > INLINE_BYTES:
        return None
    data = source if isinstance(source, bytes) else source.read_bytes()
    url = f"data:{content_type};base64,{base64.b64encode(data).decode()}"
    if content_type.startswith("image/"):
        return {"type": "image_url", "image_url": url}
    return {"type": "document_url", "document_url": url}
