"""The Markdown of a document is made again of the stored result of its engine."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from actors.engines import PAGE_SEPARATOR
from actors.page_markdown import MAX_RESULT_BYTES, derive_markdown, join_pages
from schemas.documents import Blob
from schemas.results import PageResult, ResultHead
from tests.actors.fakes import FakeBlobs

PAGES = ("# Eins", "", "zwei\n")
KEY = "results/default/abc.w"


def described(data: bytes) -> Blob:
    return Blob("markdown/default/abc.0", len(data), hashlib.sha256(data).hexdigest())


def lines(pages: tuple[str, ...]) -> bytes:
    head = ResultHead(engine="local", model="m", pages=len(pages), billed_pages=0)
    results = (PageResult(index=number, markdown=text) for number, text in enumerate(pages))
    return b"".join(msgspec.json.encode(one) + b"\n" for one in (head, *results))


@pytest.fixture
def blobs(tmp_path: Path) -> FakeBlobs:
    return FakeBlobs(tmp_path)


@pytest.mark.parametrize("pages", [PAGES, ("",), ()])
async def test_the_markdown_is_made_again_of_the_pages(
    blobs: FakeBlobs, pages: tuple[str, ...]
) -> None:
    text = PAGE_SEPARATOR.join(pages).encode()
    result = await blobs.put_bytes(KEY, lines(pages))
    assert await derive_markdown(blobs, described(text), result) == text


async def test_only_exactly_what_was_stored_is_made_again(blobs: FakeBlobs) -> None:
    stored = await blobs.put_bytes(KEY, lines(PAGES))
    for result in (stored, None, Blob("results/default/none", 1, "0" * 64)):
        assert await derive_markdown(blobs, described(b"another text"), result) is None
    damaged = await blobs.put_bytes(KEY, lines(PAGES)[:-3])
    assert await derive_markdown(blobs, described(join_pages(PAGES)), damaged) is None


async def test_the_markdown_of_a_large_result_is_not_made_again(blobs: FakeBlobs) -> None:
    pages = ("x" * MAX_RESULT_BYTES,)
    result = await blobs.put_bytes(KEY, lines(pages))
    assert await derive_markdown(blobs, described(join_pages(pages)), result) is None
