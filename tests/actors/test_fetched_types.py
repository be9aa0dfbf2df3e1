"""The type of a fetched text is that of its beginning, its names, or a declared type."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.text_sniffing import NO_CLAIM, Claim
from bus.connection import Connection
from schemas.documents import Remote
from tests import events
from tests.actors.running import running_in_background
from tests.actors.test_fetcher import URL, World


@pytest.mark.parametrize(
    ("file_name", "content_type", "claim", "kind"),
    [
        ("document", "application/octet-stream", NO_CLAIM, "text/plain"),
        ("document", "text/html", NO_CLAIM, "text/html"),
        ("notes.md", "text/html", NO_CLAIM, "text/markdown"),
        ("document", "application/octet-stream", Claim.of("a.md", "text/plain"), "text/markdown"),
        ("document", "application/octet-stream", Claim.of("", "text/html; x"), "text/html"),
        ("a.txt", "application/octet-stream", Claim.of("b.md", "text/html"), "text/plain"),
    ],
)
async def test_names_and_declared_types_decide_among_texts(
    connection: Connection,
    tmp_path: Path,
    file_name: str,
    content_type: str,
    claim: Claim,
    kind: str,
) -> None:
    world = World(connection, tmp_path, page=b"Some text.")
    world.downloads.claims[URL + "page"] = claim
    event = events.submitted(source=Remote(URL + "page"), file_name=file_name)
    await world.submit(replace(event, content_type=content_type))
    async with running_in_background(world.fetcher.run):
        assert (await world.fetched()).content_type == kind


async def test_the_name_in_a_url_counts_last(connection: Connection, tmp_path: Path) -> None:
    world = World(connection, tmp_path)
    url = URL + "a%20b.md"
    world.downloads.responses[url] = b"# Text"
    await world.submit(replace(events.submitted(source=Remote(url)), file_name="document"))
    async with running_in_background(world.fetcher.run):
        assert (await world.fetched()).content_type == "text/markdown"
