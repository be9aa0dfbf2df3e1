"""The result of a small document is stored with its Markdown, and is enough to make it again."""

from pathlib import Path

import pytest

from actors.engines import PAGE_SEPARATOR
from actors.page_markdown import MAX_RESULT_BYTES, derive_markdown
from actors.ports import StorageUnavailable
from actors.publishable import store_markdown
from ilios.engines import results
from ilios.engines.results import CacheKey, EngineResult, ResultCache
from schemas.documents import Blob, DocumentFetched
from schemas.results import PageResult
from tests.actors.fakes import FakeBlobs
from tests.ilios.edge.world import ID

TEXTS = ("# Eins", "zwei", "")
FETCHED = DocumentFetched(document_id=ID, original=Blob("o", 1, "0" * 64), content_type="a/b")


@pytest.fixture
def blobs(tmp_path: Path) -> FakeBlobs:
    return FakeBlobs(tmp_path)


@pytest.fixture
def cache(blobs: FakeBlobs) -> ResultCache:
    return ResultCache(blobs, CacheKey.unique("default", ID))


def read(*texts: str) -> EngineResult:
    pages = tuple(PageResult(index=number, markdown=text) for number, text in enumerate(texts))
    return EngineResult(pages, {}, "local", "m", len(pages))


async def test_a_small_result_is_stored_with_its_markdown(
    blobs: FakeBlobs, cache: ResultCache
) -> None:
    conversion = await cache.put(read(*TEXTS), 1.0)
    event = await store_markdown(blobs, FETCHED, conversion)
    assert {*blobs.stored} == {event.markdown.key, conversion.result and conversion.result.key}
    text = PAGE_SEPARATOR.join(TEXTS)
    assert blobs.stored[event.markdown.key] == text.encode()
    assert await derive_markdown(blobs, event.markdown, event.result) == text.encode()
    assert event.input_tokens == -(-len(text) // 4)


async def test_the_markdown_of_a_large_result_is_stored_durably_by_itself(
    blobs: FakeBlobs, cache: ResultCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(FakeBlobs, "put_with_derived")
    conversion = await cache.put(read("x" * MAX_RESULT_BYTES), 1.0)
    assert conversion.markdown is None
    event = await store_markdown(blobs, FETCHED, conversion)
    assert event.markdown.size == MAX_RESULT_BYTES


async def test_a_store_that_is_unavailable_is_waited_for_and_gets_both_once(
    blobs: FakeBlobs, cache: ResultCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "STORE_RETRY_PAUSE", 0.0)
    blobs.put_errors = [StorageUnavailable("not now")] * 3
    conversion = await cache.put(read(*TEXTS), 1.0)
    assert conversion.markdown is not None
    assert len(blobs.stored) == 2
