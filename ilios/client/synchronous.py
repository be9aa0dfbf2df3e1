"""The synchronous client: the asynchronous one on an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from ilios.client.asynchronous import (
    DEFAULT_CONCURRENCY,
    DEFAULT_SERVER,
    AsyncClient,
    OnProgress,
)
from ilios.client.events import ServerEvent
from ilios.client.filters import DocumentFilter
from ilios.client.parallel import Outcome
from ilios.client.retries import Patience
from ilios.client.sources import Upload
from schemas.replies import DeletionReceipt, DocumentStatus, Submitted
from schemas.requests import SubmitByUrl, SubmitFields

_T = TypeVar("_T")


class Client:
    """A client of the service at ``server``; each method is that of ``AsyncClient``."""

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        key: str | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._client = AsyncClient(server, key, patience=patience)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(
        self,
        document: Upload | Path,
        fields: SubmitFields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Submit a file."""
        return self._run(self._client.submit(document, fields, idempotency_key=idempotency_key))

    def submit_url(self, document: SubmitByUrl, *, idempotency_key: str | None = None) -> Submitted:
        """Submit a document at a public address."""
        return self._run(self._client.submit_url(document, idempotency_key=idempotency_key))

    def submit_all(
        self,
        documents: Iterable[Upload | Path],
        fields: SubmitFields | None = None,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
    ) -> Iterator[Outcome[Upload | Path, Submitted]]:
        """Submit files, ``concurrency`` at a time; yields what came of each."""
        return self._iterate(self._client.submit_all(documents, fields, concurrency=concurrency))

    def show(self, document_id: str, *, wait: int = 0) -> DocumentStatus:
        """Return the state of a document."""
        return self._run(self._client.show(document_id, wait=wait))

    def wait(self, document_id: str, *, on_progress: OnProgress | None = None) -> DocumentStatus:
        """Return the state of a document that has ended; ``on_progress`` runs in the thread."""
        return self._run(self._client.wait(document_id, on_progress=on_progress))

    def events(
        self, document_id: str | None = None, *, last_event_id: str | None = None
    ) -> Iterator[ServerEvent]:
        """Yield the events of a document until it has ended; of everything without its id."""
        return self._iterate(self._client.events(document_id, last_event_id=last_event_id))

    def documents(
        self, wanted: DocumentFilter | None = None, *, limit: int | None = None
    ) -> Iterator[DocumentStatus]:
        """Yield the documents of the key, ``limit`` at most."""
        return self._iterate(self._client.documents(wanted, limit=limit))

    @contextmanager
    def content(
        self, document_id: str, *, output_format: str = "markdown", chunk_size: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Open what was made of a document, to be read piece by piece."""
        opened = self._client.content(
            document_id, output_format=output_format, chunk_size=chunk_size
        )
        with self._open(opened) as pieces:
            yield pieces

    @contextmanager
    def original(self, document_id: str) -> Iterator[Iterator[bytes]]:
        """Open a document as it was submitted, to be read piece by piece."""
        with self._open(self._client.original(document_id)) as pieces:
            yield pieces

    def text(self, document_id: str, *, output_format: str = "markdown") -> str:
        """Return what was made of a document."""
        return self._run(self._client.text(document_id, output_format=output_format))

    def download(
        self,
        document_id: str,
        target: Path,
        *,
        output_format: str = "markdown",
        chunk_size: int | None = None,
        original: bool = False,
    ) -> None:
        """Write what was made of a document, or its original, to a file."""
        self._run(
            self._client.download(
                document_id,
                target,
                output_format=output_format,
                chunk_size=chunk_size,
                original=original,
            )
        )

    def cancel(self, document_id: str) -> DeletionReceipt:
        """Cancel the conversion of a document, or delete it if it has ended."""
        return self._run(self._client.cancel(document_id))

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C ends the request as well
            raise

    def _iterate(self, items: AsyncIterator[_T]) -> Iterator[_T]:
        async def following() -> tuple[_T] | None:
            async for item in items:
                return (item,)
            return None

        async def close() -> None:
            if isinstance(items, AsyncGenerator):
                await items.aclose()

        try:
            while (found := self._run(following())) is not None:
                yield found[0]
        finally:
            if not self._loop.is_closed():
                self._run(close())

    @contextmanager
    def _open(
        self, opened: AbstractAsyncContextManager[AsyncIterator[bytes]]
    ) -> Iterator[Iterator[bytes]]:
        pieces = self._run(opened.__aenter__())
        try:
            yield self._iterate(pieces)
        finally:
            self._run(_leave(opened))


async def _leave(opened: AbstractAsyncContextManager[Any]) -> None:
    await opened.__aexit__(None, None, None)
