"""Fakes of the ports of the actors."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.engines import Conversion, SourceFile
from actors.ports import BlobNotFound, StoredBlob
from actors.text_sniffing import NO_CLAIM, Claim
from actors.writes import (
    ApplyEvents,
    Cursor,
    DatabaseUnavailable,
    ResetCursor,
    Write,
    WriteRefused,
)
from schemas.documents import Blob


class FakeBlobs:
    """Blobs in memory; ``fails`` holds what the next puts raise.

    ``modified`` has when each came under its key, and may be set to make one old.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.stored: dict[str, bytes] = {}
        self.modified: dict[str, datetime] = {}
        self.put_errors: list[Exception] = []

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> Blob:
        return await self.put_bytes(key, b"".join([chunk async for chunk in chunks]))

    async def put_bytes(self, key: str, data: bytes) -> Blob:
        if self.put_errors:
            raise self.put_errors.pop(0)
        self.stored[key] = data
        self.modified[key] = datetime.now(UTC)
        return Blob(key, len(data), hashlib.sha256(data).hexdigest())

    async def put_with_derived(
        self, key: str, data: bytes, derived_key: str, derived: bytes
    ) -> tuple[Blob, Blob]:
        return await self.put_bytes(key, data), await self.put_bytes(derived_key, derived)

    async def read_ends(self, key: str, length: int) -> tuple[bytes, bytes]:
        data = self._get(key)
        return data[:length], data[-length:]

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        yield self._get(key)[start:stop]

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        path = self._directory / hashlib.sha256(key.encode()).hexdigest()
        path.write_bytes(self._get(key))
        yield path

    async def size(self, key: str) -> int:
        return len(self._get(key))

    async def digest(self, key: str) -> Blob:
        data = self._get(key)
        return Blob(key, len(data), hashlib.sha256(data).hexdigest())

    async def move(self, source: str, target: str) -> None:
        data = self._get(source)
        await self.delete(source)
        self.stored[target] = data
        self.modified[target] = datetime.now(UTC)

    async def delete(self, key: str) -> None:
        self.stored.pop(key, None)
        self.modified.pop(key, None)

    async def list_page(
        self, prefix: str, position: str | None, limit: int
    ) -> tuple[list[StoredBlob], str | None]:
        keys = sorted(
            key for key in self.stored if key.startswith(prefix) and key > (position or "")
        )
        now = datetime.now(UTC)  # of what a test has put into ``kept`` itself
        found = [
            StoredBlob(key, len(self.stored[key]), self.modified.get(key, now))
            for key in keys[:limit]
        ]
        return found, keys[limit - 1] if len(keys) > limit else None

    async def sweep_temporary(self, older_than: timedelta) -> int:
        return 0  # a put is done at once or not at all

    async def presign_put(self, key: str, *, size: int, expires_in: int) -> str | None:
        return None

    async def presign_get(
        self, key: str, *, expires_in: int, disposition: str, content_type: str
    ) -> str | None:
        return None

    async def check(self) -> None:
        return

    def _get(self, key: str) -> bytes:
        try:
            return self.stored[key]
        except KeyError:
            raise BlobNotFound(key) from None


class FakeDownloader:
    """Returns the bytes or raises the error of a URL; a ``slow`` one waits for ``go_on``."""

    def __init__(self, **found: bytes | Exception) -> None:
        self.slow: set[str] = set()
        self.may_continue = asyncio.Event()
        self.responses = {f"http://example.com/{name}": what for name, what in found.items()}
        self.fetched: list[str] = []
        self.claims: dict[str, Claim] = {}

    async def fetch(
        self, url: str, on_answer: Callable[[Claim], None] | None = None
    ) -> AsyncIterator[bytes]:
        self.fetched.append(url)
        if url in self.slow:
            await self.may_continue.wait()
        what = self.responses[url]
        if isinstance(what, Exception):
            raise what
        if on_answer is not None:
            on_answer(self.claims.get(url, NO_CLAIM))
        yield what


class FakeEngine:
    """Makes pages of a text; ``meets`` holds what happens to the next conversions."""

    def __init__(self) -> None:
        self.convert_errors: list[Exception] = []
        self.converted: list[SourceFile] = []
        self.pages: tuple[str, ...] = ("one", "two")
        self.partial = False
        self.may_finish = asyncio.Event()
        self.may_finish.set()

    async def check(self) -> None:
        return

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        self.converted.append(document)
        if self.convert_errors:
            raise self.convert_errors.pop(0)
        await self.may_finish.wait()
        return Conversion(self.pages, "fake", "none", seconds=0.25, partial=self.partial)


class FakeTransactionStore:
    """Keeps writes in a list, one group per commit; refuses events of documents in ``refused``."""

    def __init__(self) -> None:
        self.groups: list[list[Write[object]]] = []
        self.cursors: dict[str, Cursor] = {}
        self.rejected: set[str] = set()
        self.unavailable: DatabaseUnavailable | None = None
        self.commit_started = asyncio.Event()
        self.may_commit = asyncio.Event()
        self.may_commit.set()

    async def commit(self, writes: list[Write[object]]) -> list[object | WriteRefused]:
        if self.unavailable:
            raise self.unavailable
        self.commit_started.set()
        await self.may_commit.wait()
        self.groups.append(writes)
        return [self._write_one(write) for write in writes]

    async def cursor(self, reader: str) -> Cursor | None:
        return self.cursors.get(reader)

    @property
    def applied(self) -> list[int]:
        """The sequences that were stored, in order, repeated ones too."""
        writes = [write for group in self.groups for write in group]
        return [
            entry.sequence
            for write in writes
            if isinstance(write, ApplyEvents) and not self._is_rejected(write)
            for entry in write.entries
        ]

    def _is_rejected(self, write: ApplyEvents) -> bool:
        return any(
            getattr(entry.event, "document_id", None) in self.rejected for entry in write.entries
        )

    def _write_one(self, write: Write[object]) -> object | WriteRefused:
        if isinstance(write, ApplyEvents):
            if self._is_rejected(write):
                return WriteRefused("poison")
            self.cursors[write.reader] = write.cursor
            return ()
        if isinstance(write, ResetCursor):
            self.cursors.pop(write.reader, None)
        return write
