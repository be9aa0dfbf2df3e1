"""The local engine stores its report on pages as JSON lines, and images where the links lead."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from actors.blob_keys import IMAGES, RESULTS, image_key
from actors.engines import SourceFile
from ilios.blobs.local import LocalBlobs
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.page_images import image_name
from schemas.quality import Quality
from schemas.results import Box, PageImage, ResultHead
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument
from tests.ilios.engines.local.test_answer_checks import impersonate
from tests.ilios.engines.mistral.conftest import read_result

ONE = EngineLimits(processes=1)
ID = "abcdefghij0123456789abcd"
PNG = b"\x89PNG\r\n\x1a\n a chart"
PICTURED = """
from ilios.engines.local import child, protocol
from ilios.engines.pages import ConvertedPage
from schemas.results import *
from schemas.warnings import page_warning
def work(request, limits, answers):
    result = PageResult(
        index=0,
        markdown="# Head\\n\\n![A chart](img-0.png)\\n\\nText.",
        images=(PageImage(id="img-0.png", box=Box(1, 2, 3, 4)),),
        dimensions=PageDimensions(dpi=72, width=595, height=842),
        confidence=PageConfidence(0.8, 0.2),
        headings=(PageHeading(1, "Head"),),
        method="recognition",
        conservation=0.5,
        warnings=(page_warning("page_low_confidence"),),
    )
    page = ConvertedPage(result, {"img-0.png": b"\\x89PNG\\r\\n\\x1a\\n a chart"})
    return protocol.Converted((page,), "model-1", protocol.Wear(1, False))
child._serve = work
child.main()
"""
"""A child that finds an image on every page."""


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(tmp_path / "blobs") as blobs:
        yield blobs


@pytest.fixture
def document(place_document: PlaceDocument) -> SourceFile:
    source = place_document(documents.pdf("First text."), documents.PDF)
    return msgspec.structs.replace(source, tenant="acme", document_id=ID)


async def keys(blobs: LocalBlobs, prefix: str) -> list[str]:
    found, _ = await blobs.list_page(prefix, None, 1000)
    return [one.key for one in found]


async def test_links_lead_to_stored_images_and_the_report_is_read_back(
    document: SourceFile, blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impersonate(monkeypatch, tmp_path, PICTURED)
    async with LocalEngine(ONE, blobs=blobs) as engine:
        conversion = await engine.convert(document)
        again = await engine.convert(document)
    assert conversion.result is not None
    head, (page,) = await read_result(blobs, conversion.result.key)
    assert msgspec.structs.replace(head, seconds=0.0) == ResultHead(
        engine="local", model="model-1", pages=1, billed_pages=1
    )
    name = image_name(PNG, "png")
    assert page.images == (PageImage("img-0.png", name, Box(1, 2, 3, 4)),)
    link = f"![A chart](/api/documents/{ID}/images/{name})"
    assert page.markdown == conversion.pages[0] == f"# Head\n\n{link}\n\nText."
    stored = b"".join([data async for data in blobs.read(image_key("acme", ID, name))])
    assert stored == PNG
    assert [(one.code, one.pages) for one in conversion.warnings] == [("page_low_confidence", (1,))]
    assert conversion.quality == Quality(
        score=0.4, lowest=0.4, conservation=0.5, confidence=0.8, recognised=1
    )
    # A late attempt cannot replace the report of another; the name of an image is its content.
    assert again.result != conversion.result
    assert len(await keys(blobs, RESULTS)) == 2
    assert len(await keys(blobs, IMAGES)) == 1


async def test_without_a_store_an_image_is_its_description_without_a_link(
    document: SourceFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impersonate(monkeypatch, tmp_path, PICTURED)
    async with LocalEngine(ONE) as engine:
        conversion = await engine.convert(document)
    assert conversion.pages == ("# Head\n\n![A chart]()\n\nText.",)
    assert conversion.result is None
    assert conversion.warnings
    assert conversion.quality


async def test_the_engine_reports_on_the_pages_of_a_pdf(
    place_document: PlaceDocument, blobs: LocalBlobs
) -> None:
    source = place_document(documents.pdf("First text.", "Second text."), documents.PDF)
    document = msgspec.structs.replace(source, tenant="acme", document_id=ID)
    async with LocalEngine(ONE, blobs=blobs) as engine:
        conversion = await engine.convert(document)
    assert conversion.result is not None
    head, pages = await read_result(blobs, conversion.result.key)
    assert (head.engine, head.pages, head.model) == ("local", 2, conversion.model)
    assert [page.markdown for page in pages] == list(conversion.pages)
    assert [page.index for page in pages] == [0, 1]
