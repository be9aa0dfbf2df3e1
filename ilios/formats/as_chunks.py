"""The format ``chunks``: a line of JSON for each part of a document, for retrieval."""

from collections.abc import Iterator

import msgspec
from msgspec import structs

from ilios.formats.declaration import (
    DEFAULT_CHUNK_SIZE,
    Format,
    FormatOptions,
    Page,
    PageRenderer,
)
from ilios.formats.pages import printed, streamed
from ilios.visible import clean_name
from schemas.replies import DocumentChunk

_encode = msgspec.json.Encoder().encode


class _ChunkRenderer(PageRenderer):
    def __init__(self, name: str, document_id: str | None, options: FormatOptions) -> None:
        # Late: the parser is not loaded before somebody asks for chunks.
        from ilios.formats.chunking import Chunker  # noqa: PLC0415

        self._chunker = Chunker(options.chunk_size or DEFAULT_CHUNK_SIZE)
        # Lines of several documents may be put into one file.
        self._source: dict[str, str] = (
            {"document_id": document_id} if document_id else {"file_name": clean_name(name)}
        )

    def page(self, page: Page) -> Iterator[str]:
        return map(self._line, self._chunker.page(page))

    def end(self) -> Iterator[str]:
        return map(self._line, self._chunker.end())

    def _line(self, chunk: DocumentChunk) -> str:
        return _encode(structs.replace(chunk, **self._source)).decode() + "\n"


CHUNKS = Format(
    "application/x-ndjson; charset=utf-8",
    "jsonl",
    streamed(_ChunkRenderer),
    printed(_ChunkRenderer),
    options=frozenset({"chunk_size"}),
)
