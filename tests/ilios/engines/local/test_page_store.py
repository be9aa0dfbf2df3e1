"""The local engine stores its report on pages as JSON lines, and images where the links lead."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.blob_keys import IMAGES, RESULTS, image_key
from actors.engines import SourceFile
from ilios.blobs.local import LocalBlobs
from ilios.engines.local import page_store
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.page_store import PageStore
from ilios.engines.page_images import image_name
from ilios.engines.pages import ConvertedPage
from schemas.quality import Quality
from schemas.results import (
    Box,
    PageConfidence,
    PageDimensions,
    PageHeading,
    PageImage,
    PageResult,
    ResultHead,
)
from schemas.warnings import page_warning
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument
from tests.ilios.engines.mistral.conftest import read_result

ID = "abcdefghij0123456789abcd"
DOCUMENT = SourceFile(Path("unread"), documents.PDF, tenant="acme", document_id=ID)
PNG = b"\x89PNG\r\n\x1a\n of page %d"
SIZE = PageDimensions(dpi=72, width=595, height=842)


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(tmp_path / "blobs") as blobs:
        yield blobs


def pictured(index: int, data: bytes) -> ConvertedPage:
    result = PageResult(
        index=index,
        markdown="# Head\n\n![A chart](img-0.png)\n\nText.",
        images=(PageImage(id="img-0.png", box=Box(1, 2, 3, 4)),),
        dimensions=SIZE,
        confidence=PageConfidence(0.8, 0.2),
        headings=(PageHeading(1, "Head"),),
        method="recognition",
        conservation=0.5,
        warnings=(page_warning("page_low_confidence"),),
    )
    return ConvertedPage(result, {"img-0.png": data})


async def keys(blobs: LocalBlobs, prefix: str) -> list[str]:
    found, _ = await blobs.list_page(prefix, None, 1000)
    return [one.key for one in found]


async def test_links_lead_to_stored_images_and_the_report_is_read_back(blobs: LocalBlobs) -> None:
    store = PageStore(blobs, DOCUMENT)
    pages = [*await store.add([pictured(0, PNG % 0)]), *await store.add([pictured(1, PNG % 1)])]
    conversion = await store.finish(pages, "model-1", 0.5)
    assert conversion.result is not None
    head, read = await read_result(blobs, conversion.result.key)
    assert head == ResultHead(engine="local", model="model-1", pages=2, billed_pages=2, seconds=0.5)
    assert read == pages
    for index, page in enumerate(read):
        name = image_name(PNG % index, "png")
        assert page.images == (PageImage("img-0.png", name, Box(1, 2, 3, 4)),)
        link = f"![A chart](/api/documents/{ID}/images/{name})"
        assert page.markdown == conversion.pages[index] == f"# Head\n\n{link}\n\nText."
        stored = b"".join([data async for data in blobs.read(image_key("acme", ID, name))])
        assert stored == PNG % index
    assert [(one.code, one.pages) for one in conversion.warnings] == [
        ("page_low_confidence", (1, 2))
    ]
    assert conversion.quality == Quality(
        score=0.4, lowest=0.4, conservation=0.5, confidence=0.8, recognised=2
    )


async def test_each_attempt_has_a_report_of_its_own(blobs: LocalBlobs) -> None:
    for _ in range(2):
        store = PageStore(blobs, DOCUMENT)
        await store.finish(await store.add([pictured(0, PNG % 0)]), "model-1", 0.5)
    assert len(await keys(blobs, RESULTS)) == 2
    assert len(await keys(blobs, IMAGES)) == 1, "its name is derived from its bytes"


async def test_without_a_store_nothing_links_to_an_image() -> None:
    store = PageStore(None, DOCUMENT)
    conversion = await store.finish(await store.add([pictured(0, PNG % 0)]), "model-1", 0.5)
    assert conversion.pages == ("# Head\n\n\n\nText.",)
    assert conversion.result is None
    assert conversion.warnings
    assert conversion.quality


async def test_the_images_of_a_document_are_bounded_over_all_ranges(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_store, "MAX_IMAGES", 2)
    store = PageStore(blobs, DOCUMENT)
    names: list[Any] = []
    for index in (0, 1, 0, 2):
        (page,) = await store.add([pictured(index, PNG % index)])
        names.append(page.images[0].name)
        assert ("images_left_out" in [one.code for one in page.warnings]) == (index == 2)
    assert names[0] == names[2] != names[1]
    assert names[3] is None
    assert len(await keys(blobs, IMAGES)) == 2


async def test_the_engine_reports_on_the_pages_of_a_pdf(
    place_document: PlaceDocument, blobs: LocalBlobs, tmp_path: Path
) -> None:
    source = place_document(documents.pdf("First text.", "Second text."), documents.PDF)
    document = msgspec.structs.replace(source, tenant="acme", document_id=ID)
    async with LocalEngine(EngineLimits(processes=1), tmp_path / "work", blobs=blobs) as engine:
        conversion = await engine.convert(document)
    assert conversion.result is not None
    head, pages = await read_result(blobs, conversion.result.key)
    assert (head.engine, head.pages, head.model) == ("local", 2, conversion.model)
    assert [page.markdown for page in pages] == list(conversion.pages)
    assert [page.index for page in pages] == [0, 1]
