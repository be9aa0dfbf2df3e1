"""The asynchronous client: documents of a running service."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Self
from urllib.parse import quote

import msgspec

from ilios.client.connection import Connection, pieces_of
from ilios.client.errors import Interrupted
from ilios.client.events import ServerEvent, read_frames
from ilios.client.filters import PAGE, DocumentFilter
from ilios.client.parallel import Outcome, in_parallel
from ilios.client.retries import Patience, Tries
from ilios.client.sources import Upload, form_of
from schemas.list_replies import DocumentList
from schemas.replies import DeletionReceipt, DocumentStatus, Submitted
from schemas.requests import MAX_WAIT, SubmitByUrl, SubmitFields
from schemas.states import TERMINAL_STATES

DEFAULT_SERVER = "http://127.0.0.1:1337"
DEFAULT_CONCURRENCY = 8
AT_ONCE = 100  # connections
PROGRESS_WAIT = 2
"""Seconds between two looks at the pages of a document whose progress is shown."""
STREAM_TIMEOUT = 45.0
"""Seconds without a sign of life of a stream of events; the service sends one every 15."""

OnProgress = Callable[[DocumentStatus], None]


class AsyncClient:
    """A client of the service at ``server``. Requests are repeated within ``patience``.

    All methods raise ``ServiceProblem`` when the service refuses a request, ``Unreachable`` when
    it does not answer, and ``UnexpectedAnswer`` when something else does.

    :raises ValueError: the address or the key is none.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        key: str | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._connection = Connection(server, key, patience or Patience(), AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    @property
    def server(self) -> str:
        """The address of the service."""
        return self._connection.server

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._connection.close()

    async def submit(
        self,
        document: Upload | Path,
        fields: SubmitFields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Submit a file. Under the same idempotency key it is one document, however often sent.

        Without a key each call has its own, so that only its repetitions are the same.

        :raises OSError: the file cannot be read.
        """
        upload = Upload(content=document) if isinstance(document, Path) else document
        wanted = fields or SubmitFields()
        return await self._connection.read(
            "POST",
            "/v1/documents",
            Submitted,
            headers={"Idempotency-Key": idempotency_key or secrets.token_hex(16)},
            body=lambda: form_of(upload, wanted),
        )

    async def submit_url(
        self, document: SubmitByUrl, *, idempotency_key: str | None = None
    ) -> Submitted:
        """Submit a document at a public address; the key is as in ``submit``."""
        given = {
            name: value
            for name, value in msgspec.to_builtins(document).items()
            if value is not None
        }
        body = msgspec.json.encode(given)
        return await self._connection.read(
            "POST",
            "/v1/documents",
            Submitted,
            headers={
                "Idempotency-Key": idempotency_key or secrets.token_hex(16),
                "Content-Type": "application/json",
            },
            body=lambda: nullcontext(body),
        )

    async def submit_all(
        self,
        documents: Iterable[Upload | Path],
        fields: SubmitFields | None = None,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
    ) -> AsyncGenerator[Outcome[Upload | Path, Submitted], None]:
        """Submit files, ``concurrency`` at a time; yields what came of each."""
        submitting = in_parallel(documents, lambda one: self.submit(one, fields), concurrency)
        async with aclosing(submitting) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def show(self, document_id: str, *, wait: int = 0) -> DocumentStatus:
        """Return the state of a document once it has ended, or after ``wait`` seconds, up to 60."""
        query = {"wait": str(wait)} if wait else None
        return await self._connection.read(
            "GET", _address(document_id), DocumentStatus, query=query
        )

    async def wait(
        self, document_id: str, *, on_progress: OnProgress | None = None
    ) -> DocumentStatus:
        """Return the state of a document that has ended; ``on_progress`` gets those before it."""
        while True:
            wait = MAX_WAIT if on_progress is None else PROGRESS_WAIT
            began = asyncio.get_running_loop().time()
            found = await self.show(document_id, wait=wait)
            if found.status in TERMINAL_STATES:
                return found
            if on_progress is not None:
                on_progress(found)
            # A service that stops, or has many who wait, answers at once.
            if asyncio.get_running_loop().time() - began < 1:
                await asyncio.sleep(1)

    async def events(
        self, document_id: str | None = None, *, last_event_id: str | None = None
    ) -> AsyncIterator[ServerEvent]:
        """Yield the events of a document until it has ended; of everything without its id.

        A stream that breaks goes on after its last event.
        """
        path = "/v1/events" if document_id is None else f"{_address(document_id)}/events"
        last, pause = last_event_id, 2.0
        tries = Tries(self._connection.patience)
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            try:
                async with self._connection.open(
                    "GET", path, headers=headers, read_timeout=STREAM_TIMEOUT
                ) as response:
                    if response.status == 204:
                        return
                    async for frame in read_frames(pieces_of(response)):
                        tries = Tries(self._connection.patience)
                        last = frame.id or last
                        pause = pause if frame.retry is None else frame.retry / 1000
                        if (event := frame.event()) is not None:
                            yield event
                            if document_id is not None and event.ends_document:
                                return
            except Interrupted:
                if tries.next_pause() is None:
                    raise
            await asyncio.sleep(pause)

    async def documents(
        self, wanted: DocumentFilter | None = None, *, limit: int | None = None
    ) -> AsyncIterator[DocumentStatus]:
        """Yield the documents of the key, ``limit`` at most."""
        cursor, left = None, limit
        while left is None or left > 0:
            part = await self._connection.read(
                "GET",
                "/v1/documents",
                DocumentList,
                query=(wanted or DocumentFilter()).query(PAGE if left is None else left, cursor),
            )
            for document in part.documents:
                yield document
            left = None if left is None else left - len(part.documents)
            if not isinstance(part.next, str):
                return
            cursor = part.next

    @asynccontextmanager
    async def content(
        self, document_id: str, *, output_format: str = "markdown", chunk_size: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open what was made of a document, to be read piece by piece.

        :raises ServiceProblem: also while it has not ended (``document_not_ready``).
        """
        query = {"format": output_format} | ({"chunkSize": str(chunk_size)} if chunk_size else {})
        async with self._connection.open(
            "GET", f"{_address(document_id)}/content", query=query
        ) as response:
            yield pieces_of(response)

    @asynccontextmanager
    async def original(self, document_id: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a document as it was submitted, to be read piece by piece."""
        async with self._connection.open("GET", f"{_address(document_id)}/original") as response:
            yield pieces_of(response)

    async def text(self, document_id: str, *, output_format: str = "markdown") -> str:
        """Return what was made of a document."""

        async def once() -> bytes:
            async with self.content(document_id, output_format=output_format) as pieces:
                return b"".join([piece async for piece in pieces])

        return (await self._connection.repeat(once)).decode()

    async def download(
        self,
        document_id: str,
        target: Path,
        *,
        output_format: str = "markdown",
        chunk_size: int | None = None,
        original: bool = False,
    ) -> None:
        """Write what was made of a document, or its original, to a file: whole or not at all.

        :raises OSError: the file cannot be written.
        """
        unfinished = target.with_name(_unfinished_name(target.name))

        async def once() -> None:
            opened = (
                self.original(document_id)
                if original
                else self.content(document_id, output_format=output_format, chunk_size=chunk_size)
            )
            async with opened as pieces:
                await _write(unfinished, pieces)

        try:
            await self._connection.repeat(once)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    async def cancel(self, document_id: str) -> DeletionReceipt:
        """Cancel the conversion of a document, or delete it if it has ended."""
        return await self._connection.read("DELETE", _address(document_id), DeletionReceipt)


def _unfinished_name(name: str) -> str:
    """Return the name of a file while it is written: the same each time, so that none is left."""
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.unfinished"


def _address(document_id: str) -> str:
    return f"/v1/documents/{quote(document_id, safe='')}"


async def _write(path: Path, pieces: AsyncIterator[bytes]) -> None:
    with path.open("wb") as opened:
        async for piece in pieces:
            opened.write(piece)
        opened.flush()
        os.fsync(opened.fileno())
