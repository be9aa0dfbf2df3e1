"""Pages of a stored document: by the result of its engine, or by the separators alone."""

import threading
from collections.abc import AsyncGenerator, Iterator
from typing import ClassVar

import msgspec
import pytest

from actors.engines import PAGE_SEPARATOR
from ilios.formats.declaration import Page, PageRenderer, StoredDocument
from ilios.formats.pages import read_pages, split_pages, streamed
from schemas.replies import DocumentContent, DocumentMetadata, TokenUsage
from schemas.results import PageResult, ResultHead

TEXTS = ["# Grüße", "", "a\n\n--- b\n\n--", "世界\n"]


async def pieces(data: bytes, size: int) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("texts", [TEXTS, [""], ["", ""], ["x" * 50]])
async def test_pages_are_divided_wherever_the_pieces_are_cut(texts: list[str], size: int) -> None:
    markdown = PAGE_SEPARATOR.join(texts).encode()
    assert [page async for page in split_pages(pieces(markdown, size))] == texts


async def test_the_numbers_are_those_of_the_result() -> None:
    head = ResultHead(engine="local", model="local-1", pages=2, billed_pages=2)
    pages = (PageResult(index=2, markdown="three"), PageResult(index=9, markdown="ten"))
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in (head, *pages))
    document = StoredDocument(REPLY, pieces(b"unread", 3), pieces(lines, 5))
    assert [page async for page in read_pages(document)] == [Page(3, "three"), Page(10, "ten")]


class _Recorder(PageRenderer):
    """Records the threads in which pages are rendered."""

    threads: ClassVar[set[threading.Thread]] = set()

    def __init__(self, *_: object) -> None:
        pass

    def page(self, page: Page) -> Iterator[str]:
        self.threads.add(threading.current_thread())
        yield page.markdown


async def test_pages_are_rendered_beside_the_event_loop_in_one_thread() -> None:
    document = StoredDocument(REPLY, pieces(PAGE_SEPARATOR.join("a" * 50).encode(), 4), None)
    assert b"".join([piece async for piece in streamed(_Recorder)(document)]) == b"a" * 50
    (thread,) = _Recorder.threads
    assert thread is not threading.main_thread()


async def test_pages_without_a_result_are_counted() -> None:
    document = StoredDocument(REPLY, pieces(b"a\n\n---\n\nb", 4), None)
    assert [page async for page in read_pages(document)] == [Page(1, "a"), Page(2, "b")]


REPLY = DocumentContent(
    id="a" * 24,
    content="",
    metadata=DocumentMetadata(
        model="local-1",
        engine="local",
        pages=2,
        extracted_pages=2,
        processing_time_ms=1,
        file_name="a.pdf",
        file_size=1,
        mime_type="application/pdf",
    ),
    usage=TokenUsage(prompt_tokens=1, completion_tokens=0, total_tokens=1),
    download_url="/api/documents/a",
    file_name="a.pdf",
    created_at="2026-01-01T00:00:00.000Z",
    processed_at=None,
)
