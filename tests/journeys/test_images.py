"""Images of pages: read where the Markdown says, by their owner alone, and erased with the rest."""

import json
import re
from pathlib import Path

import aiohttp

from tests import documents
from tests.journeys.running import running_service
from tests.journeys.test_mistral import ended, get, settings, submit
from tests.mistral.rules import Layout
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

LINK = re.compile(r"!\[[^\]]*\]\((/api/documents/[^)]+)\)")


def stored_images(data_dir: Path) -> set[Path]:
    """Return what lies in the blob store besides its own bookkeeping."""
    files = (path for path in (data_dir / "blobs").rglob("*") if path.is_file())
    return {path for path in files if path.name != "lock"}


async def test_a_removed_document_takes_its_images_and_its_result_with_it(tmp_path: Path) -> None:
    async with fake_mistral() as fake, running_service(tmp_path, **settings(fake)) as service:
        fake.rules.layout = Layout(images=2)
        document = await submit(service, documents.pdf("One", "Two"))
        await ended(service, document)
        _, markdown = await get(service, f"/api/documents/{document}")
        links = LINK.findall(markdown.decode())
        assert links
        for link in links:
            assert (await get(service, link))[0] == 200
        _, body = await get(service, f"/api/documents/{document}?format=json")
        named = {
            f"/api/documents/{document}/images/{image['name']}"
            for page in json.loads(body)["pages"]
            for image in page["images"]
        }
        assert named == set(links)
        assert len(stored_images(tmp_path)) == len(named) + 3, "original, Markdown and result"
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{service.url}/api/documents/{document}") as answer,
        ):
            assert answer.status in (200, 202)
        await wait_until(lambda: stored_images(tmp_path) == set())
        assert (await get(service, links[0]))[0] == 410


async def test_a_synchronous_conversion_returns_its_pages(tmp_path: Path) -> None:
    async with fake_mistral() as fake, running_service(tmp_path, **settings(fake)) as service:
        fake.rules.layout = Layout(images=1, tables=1)
        form = aiohttp.FormData({"format": "json", "engine": "mistral"})
        form.add_field("file", documents.pdf("One", "Two"), filename="paper.pdf")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{service.url}/v1/convert", data=form) as answer,
        ):
            assert answer.status == 200, await answer.text()
            body = await answer.json()
        pages = body["pages"]
        assert [page["index"] for page in pages] == [0, 1]
        assert body["content"] == "\n\n---\n\n".join(page["markdown"] for page in pages)
        assert (body["metadata"]["engine"], body["metadata"]["pages"]) == ("mistral", 2)
