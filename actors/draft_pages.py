"""Pages of documents that are still converted, in memory: what may be read before the result."""

import time
from collections.abc import Sequence

import msgspec

from schemas.results import PageResult

MIB = 1024 * 1024
MAX_BYTES = 32 * MIB
MAX_DOCUMENT_BYTES = 8 * MIB
"""JSON of the pages of all documents, and of one. Beyond them the oldest pages are dropped: they
are in the result when the document ends."""

MAX_REPLY_BYTES = MIB // 2
"""JSON of the pages in one reply. A larger page is in the result only."""

_REPLY = b'{"type":"pages.drafted/1","until":%d,"more":%s,"pages":[%s]}'
_encode = msgspec.json.Encoder().encode
DocumentName = tuple[str, str]
"""The tenant and the id of a document."""


class _Drafts:
    """The pages of one document by index, the latest last, each with its number."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, bytes]] = {}
        self.size = 0

    def put(self, index: int, number: int, line: bytes) -> None:
        self.drop(index)
        self.pages[index] = (number, line)
        self.size += len(line)

    def drop(self, index: int) -> None:
        _, line = self.pages.pop(index, (0, b""))
        self.size -= len(line)

    def drop_oldest(self) -> None:
        self.drop(next(iter(self.pages)))


class DraftPages:
    """Drafts of pages, which later ones replace. Nothing else depends on them.

    Each draft has a number that grows, also over restarts of the process: a reader asks for those
    ``since`` the last one that it has.
    """

    def __init__(
        self, max_bytes: int = MAX_BYTES, max_document_bytes: int = MAX_DOCUMENT_BYTES
    ) -> None:
        self._max_bytes = max_bytes
        self._max_document_bytes = max_document_bytes
        self._documents: dict[DocumentName, _Drafts] = {}
        self._size = 0
        self._number = time.time_ns() // 1000

    def put(self, tenant: str, document_id: str, pages: Sequence[PageResult]) -> None:
        """Add pages of a document; each replaces the one with its index."""
        drafts = self._documents.setdefault((tenant, document_id), _Drafts())
        before = drafts.size
        for page in pages:
            line = _encode(page)
            if len(line) > MAX_REPLY_BYTES:
                continue
            self._number += 1
            drafts.put(page.index, self._number, line)
            while drafts.size > self._max_document_bytes:
                drafts.drop_oldest()
        self._size += drafts.size - before
        while self._size > self._max_bytes:
            largest = max(self._documents.values(), key=lambda one: one.size)
            before = largest.size
            largest.drop_oldest()
            self._size += largest.size - before

    def has(self, tenant: str, document_id: str) -> bool:
        """Whether there are pages of a document."""
        return (tenant, document_id) in self._documents

    def discard(self, tenant: str, document_id: str) -> None:
        """Drop the pages of a document, which has ended."""
        drafts = self._documents.pop((tenant, document_id), None)
        if drafts is not None:
            self._size -= drafts.size

    def read(self, tenant: str, document_id: str, since: int = 0) -> bytes:
        """Return the pages after the one with the number ``since``, as a ``DraftsReply``."""
        drafts = self._documents.get((tenant, document_id))
        newer: list[tuple[int, bytes]] = []
        for number, line in reversed(drafts.pages.values() if drafts else ()):
            if number <= since:
                break
            newer.append((number, line))
        lines, size, until = list[bytes](), 0, since
        for number, line in reversed(newer):
            if size + len(line) > MAX_REPLY_BYTES:
                break
            lines.append(line)
            size, until = size + len(line), number
        more = b"true" if len(lines) < len(newer) else b"false"
        return _REPLY % (until, more, b",".join(lines))
