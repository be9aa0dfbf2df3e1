"""An output format is declared once: documents, batches, their description and the CLI read it."""

import io
import re
import tracemalloc
import zipfile
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from actors.engines import PAGE_SEPARATOR, Conversion
from ilios.edge.blob_responses import MAX_BUFFERED_BYTES
from ilios.edge.convert import ConvertByUrl, ConvertFields
from ilios.formats import FORMATS
from ilios.formats.declaration import Format, FormatOptions, StoredDocument
from schemas.results import PageResult
from tests.ilios.edge.test_batches_download import DOWNLOAD, converted, ended, lines
from tests.ilios.edge.test_documents import DOCUMENT
from tests.ilios.edge.test_results import store_result
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID, World

PAGES = ("# One\n\n10<sup>6</sup> <script>alert(1)</script>", "| a | b |\n|---|---|\n| 1 | 2 |")
MARKDOWN = PAGE_SEPARATOR.join(PAGES)
TEXT = "One\n\n10\u2076 <script>alert(1)</script>\n\fa\tb\n1\t2\n"
RENDERED = ("text", "html", "chunks")


async def _shout(document: StoredDocument) -> AsyncGenerator[bytes, None]:
    async for piece in document.markdown:
        yield piece.upper()


def _print(_name: str, conversion: Conversion, _options: FormatOptions) -> str:
    return "".join(conversion.pages).upper()


@pytest.fixture
def shouted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare one more format."""
    monkeypatch.setitem(FORMATS, "shouted", Format("text/x-shouted", "shout", _shout, _print))


@pytest.mark.usefixtures("shouted")
async def test_a_declared_format_is_served_everywhere(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# hello\n")
    async with client.get(f"/api/documents/{ID}", params={"format": "shouted"}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/x-shouted")
        assert await answer.text() == "# HELLO\n"
    async with client.get(f"/api/documents/{ID}", params={"format": "xml"}) as answer:
        assert '"shouted"' in (await answer.json())["error"]
    await converted(world, 1, b"# hello\n")
    ended(world, 1)
    wanted = {"contentFormat": "shouted"}
    async with client.get(DOWNLOAD, params=wanted) as answer:
        (line,) = lines(await answer.read())
        assert line["content"] == "# HELLO\n"
    async with client.get(DOWNLOAD, params=wanted | {"format": "zip"}) as answer:
        with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
            assert archive.read("001-paper.shout") == b"# HELLO\n"


@pytest.mark.parametrize("has_result", [False, True])
async def test_a_document_is_served_as_text_html_and_chunks(
    world: World,
    has_result: bool,  # noqa: FBT001
) -> None:
    client = await world.serve()
    pages = [PageResult(index=number, markdown=one) for number, one in enumerate(PAGES, 4)]
    first = 5 if has_result else 1
    result = {"result": await store_result(world, *pages)} if has_result else {}
    await world.add_completed(MARKDOWN.encode(), **result)
    async with client.get(DOCUMENT, params={"format": "text"}) as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Disposition"] == 'inline; filename="paper.pdf.txt"'
        assert await answer.text() == TEXT
    async with client.get(DOCUMENT, params={"format": "html"}) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        html = await answer.text()
    assert f'<section data-page="{first + 1}" id="page-{first + 1}">\n<table>' in html
    assert "&lt;script&gt;" in html
    async with client.get(DOCUMENT, params={"format": "chunks"}) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
        (chunk,) = lines(await answer.read())
    assert chunk == {
        "documentId": ID,
        "index": 0,
        "page": first,
        "pages": [first, first + 1],
        "headings": ["One"],
        "text": "\n\n".join(PAGES),
        "start": 0,
        "end": len(MARKDOWN),
        "tokens": -(-len("\n\n".join(PAGES)) // 4),
    }


async def test_html_is_sandboxed_and_not_sniffed_as_originals_are(world: World) -> None:
    client = await world.serve()
    await world.add_completed(MARKDOWN.encode())
    async with client.get(f"{DOCUMENT}/original") as answer:
        policy = answer.headers["Content-Security-Policy"]
    async with client.get(DOCUMENT, params={"format": "html"}) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        own = answer.headers["Content-Security-Policy"]
        html = await answer.text()
    (saved,) = re.findall('<meta http-equiv="Content-Security-Policy" content="(.+)">', html)
    assert re.fullmatch(re.escape(policy) + "; style-src 'sha256-[^' ]+'", own)
    assert own == f"sandbox; {saved}"  # a page that was saved has no header


@pytest.mark.parametrize("form", RENDERED)
async def test_a_rendered_document_has_a_tag_and_no_ranges(world: World, form: str) -> None:
    client = await world.serve()
    await world.add_completed(MARKDOWN.encode())
    tags = set()
    for other in FORMATS:
        async with client.get(DOCUMENT, params={"format": other}) as answer:
            tags.add(answer.headers["ETag"])
    assert len(tags) == len(FORMATS)
    async with client.get(
        DOCUMENT, params={"format": form}, headers={"Range": "bytes=0-1"}
    ) as answer:
        whole, tag = await answer.read(), answer.headers["ETag"]
        assert (answer.status, "Accept-Ranges" in answer.headers) == (200, False)
    assert len(whole) > 2
    for method in ("GET", "HEAD"):
        headers = {"If-None-Match": tag}
        async with client.request(
            method, DOCUMENT, params={"format": form}, headers=headers
        ) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with client.request(method, DOCUMENT, params={"format": form}) as answer:
            assert (answer.status, answer.headers["ETag"]) == (200, tag)
            assert await answer.read() == (whole if method == "GET" else b"")


async def test_the_size_of_chunks_is_an_option_of_their_format_only(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"word " * 400)
    for size, count in (("512", 1), ("32", 16)):
        wanted = {"format": "chunks", "chunkSize": size}
        async with client.get(DOCUMENT, params=wanted) as answer:
            assert len(lines(await answer.read())) == count
    bounds = "chunkSize must be a whole number from 32 to 8192"
    elsewhere = 'chunkSize is not an option of this format: leave it out, or choose "chunks"'
    for form, size, error in (
        ("chunks", "31", bounds),
        ("chunks", "8193", bounds),
        ("chunks", "1e2", bounds),
        ("chunks", "null", bounds),
        ("text", "512", elsewhere),
        ("markdown", "512", elsewhere),
    ):
        wanted = {"format": form, "chunkSize": size}
        async with client.get(DOCUMENT, params=wanted) as answer:
            assert answer.status == 400
            problem = await answer.json()
        assert (problem["code"], problem["error"]) == ("invalid_chunk_size", error)


async def test_a_conversion_answers_in_each_format(world: World) -> None:
    client = await world.serve()
    world.publisher.on_submission = world.convert
    for form in FORMATS:
        async with client.post("/v1/convert", data=form_data(format=form)) as answer:
            assert (answer.status, "Grüße" in await answer.text()) == (200, True)
    wanted = form_data(format="chunks", chunkSize="33")
    async with client.post("/v1/convert", data=wanted) as answer:
        assert answer.status == 200
    async with client.post("/v1/convert", data=form_data(chunkSize="33")) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_chunk_size")


async def test_another_size_of_chunks_is_another_request(world: World) -> None:
    client = await world.serve()
    world.publisher.on_submission = world.convert
    headers = {"Idempotency-Key": "a-key"}
    for size, status in (("33", 200), ("34", 422)):
        wanted = form_data(format="chunks", chunkSize=size)
        async with client.post("/v1/convert", data=wanted, headers=headers) as answer:
            assert answer.status == status


def test_a_conversion_has_every_option_of_formats() -> None:
    names = set(FormatOptions.__struct_encode_fields__)
    for fields in (ConvertFields, ConvertByUrl):
        assert names <= set(fields.__struct_encode_fields__)


@pytest.mark.parametrize("form", RENDERED)
async def test_a_batch_has_its_documents_in_a_format(world: World, form: str) -> None:
    client = await world.serve()
    await world.add_completed(MARKDOWN.encode(), document_id=f"{ID}001", batch_id=ID)
    await converted(world, 2, b"two", state="deleted")
    ended(world, 2)
    wanted: dict[str, Any] = {"contentFormat": form}
    if form == "chunks":
        wanted["chunkSize"] = "32"
    async with client.get(DOWNLOAD, params=wanted) as answer:
        one, two = lines(await answer.read())
    async with client.get(DOWNLOAD, params=wanted | {"format": "zip"}) as answer:
        with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
            manifest = msgspec.json.decode(archive.read("manifest.json"))
            entry = manifest["documents"][0]
            assert archive.read(entry["entry"]).decode() == one["content"]
    assert entry["entry"] == f"001-paper.{FORMATS[form].suffix}"
    assert (entry["size"], entry["sha256"]) == (None, None)
    assert "content" not in two
    if form == "text":
        assert one["content"] == TEXT
    wanted = {"contentFormat": "xml"}
    async with client.get(DOWNLOAD, params=wanted) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_content_format")


async def test_a_lost_result_does_not_keep_a_batch_from_being_rendered(world: World) -> None:
    client = await world.serve()
    result = await store_result(world, PageResult(index=6, markdown="x"))
    await converted(world, 1, MARKDOWN.encode(), result=result)
    ended(world, 1)
    await world.blobs.delete(result.key)
    async with client.get(DOWNLOAD, params={"contentFormat": "text"}) as answer:
        (line,) = lines(await answer.read())
    assert line["content"] == TEXT


@pytest.mark.parametrize("form", RENDERED)
async def test_memory_use_does_not_grow_with_the_document(world: World, form: str) -> None:
    client = await world.serve()
    page = "\n\n".join(["word " * 300] * 10)
    await world.add_completed(PAGE_SEPARATOR.join([page] * 250).encode())  # 4 MB
    size = 0
    tracemalloc.start()
    try:
        async with client.get(DOCUMENT, params={"format": form}) as answer:
            async for piece in answer.content.iter_any():
                size += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 3_700_000
    assert peak < size / 2


async def test_a_long_document_is_rendered_page_by_page(world: World) -> None:
    client = await world.serve()
    page = "word *and* word\n\n" * 4 + "words " * 300
    count = 2 * MAX_BUFFERED_BYTES // len(page)
    await world.add_completed(PAGE_SEPARATOR.join([page] * count).encode())
    async with client.get(DOCUMENT, params={"format": "html"}) as answer:
        assert "Content-Length" not in answer.headers
        html = await answer.text()
    assert html.count("<section ") == html.count("</section>") == count
    assert html.count("<p>word <em>and</em> word</p>") == 4 * count
    assert html.endswith("</body>\n</html>\n")
