"""Erasure deletes all bytes of removed documents, and can be repeated after an interruption."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from actors.blob_keys import archived_key, image_key, markdown_key, original_key, result_key
from actors.janitor.erasure import Erasure
from actors.ports import StorageUnavailable
from actors.writes import MarkErased, Writer
from schemas.documents import Blob
from schemas.records import DocumentRecord
from schemas.results import PageImage, PageResult, ResultHead
from tests import events
from tests.actors.fakes import FakeBlobs, FakeTransactionStore
from tests.actors.janitor.queries import FakeMaintenanceQueries, record
from tests.actors.running import running_in_background

NOW = datetime.now(UTC)
OTHER_DOCUMENTS_IMAGE = "images/default/" + events.id_of(2) + ".a.jpeg"


class Store(FakeBlobs):
    """Blobs in memory; the ``nth`` deletion from now fails, and what is read comes in bits."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.nth = 0
        self.deleted: list[str] = []

    async def delete(self, key: str) -> None:
        self.nth -= 1
        if self.nth == 0:
            raise StorageUnavailable("away")
        self.deleted.append(key)
        await super().delete(key)

    async def read(
        self, key: str, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        async for data in super().read(key, start, stop):
            for at in range(0, len(data), 7):
                yield data[at : at + 7]


class World:
    """A removed document with all of its blobs."""

    def __init__(self, directory: Path) -> None:
        self.blobs = Store(directory)
        self.upkeep = FakeMaintenanceQueries()
        self.transactions = FakeTransactionStore()
        self.writer = Writer(self.transactions)
        self.erasing = Erasure(self.writer, self.upkeep, self.blobs)

    async def fill(self) -> DocumentRecord:
        name = events.id_of(1)
        original = await self.blobs.put_bytes(original_key("default", name, "a"), b"foo")
        await self.blobs.put_bytes(archived_key(original.key), b"foo")
        markdown = await self.blobs.put_bytes(markdown_key("default", name), b"# foo\n")
        for image in ("a.jpeg", "b.png", "c.gif"):
            await self.blobs.put_bytes(image_key("default", name, image), b"image")
        await self.blobs.put_bytes(OTHER_DOCUMENTS_IMAGE, b"image")
        result = await self.blobs.put_bytes(result_key("default", name, "w"), lines())
        document = record(
            state="deleted",
            original=original,
            markdown=markdown,
            result=result,
            removed_at=NOW,
        )
        self.upkeep.documents = [document]
        return document

    async def sweep(self) -> int:
        async with running_in_background(self.writer.run):
            return await self.erasing.sweep(NOW)

    @property
    def is_marked_erased(self) -> bool:
        """Whether it was written down that the bytes are gone."""
        return any(
            isinstance(one, MarkErased) for group in self.transactions.groups for one in group
        )


def lines() -> bytes:
    lines = (
        ResultHead(engine="mistral", model="m", pages=3, billed_pages=3),
        PageResult(index=0, markdown="one", images=(PageImage("1", "a.jpeg"), PageImage("2"))),
        PageResult(index=1, markdown="two"),
        PageResult(
            index=2, markdown="3", images=(PageImage("1", "b.png"), PageImage("2", "c.gif"))
        ),
    )
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_removed_document_loses_its_images_before_its_result(
    world: World,
) -> None:
    document = await world.fill()
    assert await world.sweep() == 1
    assert list(world.blobs.stored) == [OTHER_DOCUMENTS_IMAGE]
    assert document.result is not None
    assert world.blobs.deleted[-1] == document.result.key
    assert world.is_marked_erased


async def test_an_erasing_that_is_broken_off_anywhere_is_done_again(world: World) -> None:
    await world.fill()
    whole = len(world.blobs.stored) - 1
    for nth in range(1, whole + 1):
        world.blobs.nth = nth
        assert await world.sweep() == 0
        assert not world.is_marked_erased
    assert await world.sweep() == 1
    assert list(world.blobs.stored) == [OTHER_DOCUMENTS_IMAGE]


async def test_missing_blobs_do_not_stop_the_erasure_of_others(world: World) -> None:
    document = await world.fill()
    assert document.result is not None
    assert document.original is not None
    for key in (document.result.key, document.original.key):
        await world.blobs.delete(key)
    assert await world.sweep() == 1
    assert world.is_marked_erased


async def test_an_unreadable_result_does_not_stop_the_erasure_of_others(world: World) -> None:
    document = await world.fill()
    assert document.result is not None
    world.blobs.stored[document.result.key] = b"{not json\n"
    assert await world.sweep() == 1
    left = {key.partition("/")[0] for key in world.blobs.stored}
    assert left == {"images"}, "they are found on the walk for orphans"


async def test_a_document_without_a_result_is_erased_as_ever(world: World) -> None:
    document = await world.fill()
    world.upkeep.documents = [msgspec.structs.replace(document, result=Blob("none", 0, "0" * 64))]
    assert await world.sweep() == 1
    world.upkeep.documents = [msgspec.structs.replace(document, result=None)]
    assert await world.sweep() == 1
