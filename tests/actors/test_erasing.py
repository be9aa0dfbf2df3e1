"""What was removed loses all of its bytes; what was broken off half-way can be done again."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from actors.erasing import Erasing
from actors.keys import archived_key, image_key, markdown_key, original_key, result_key
from actors.ports import StorageUnavailable
from actors.writer import Writer
from actors.writes import MarkErased
from schemas.documents import Blob
from schemas.records import DocumentRecord
from schemas.results import PageImage, PageResult, ResultHead
from tests import events
from tests.actors.fakes import FakeBlobs, FakeLedger
from tests.actors.running import running
from tests.actors.upkeep import FakeUpkeep, record

NOW = datetime.now(UTC)
OTHERS = "images/default/" + events.name(2) + ".a.jpeg"


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
    """A removed document with all that was kept of it."""

    def __init__(self, directory: Path) -> None:
        self.blobs = Store(directory)
        self.upkeep = FakeUpkeep()
        self.ledger = FakeLedger()
        self.writer = Writer(self.ledger)
        self.erasing = Erasing(self.writer, self.upkeep, self.blobs)

    async def fill(self) -> DocumentRecord:
        name = events.name(1)
        original = await self.blobs.put_bytes(original_key("default", name, "a"), b"foo")
        await self.blobs.put_bytes(archived_key(original.key), b"foo")
        markdown = await self.blobs.put_bytes(markdown_key("default", name), b"# foo\n")
        for image in ("a.jpeg", "b.png", "c.gif"):
            await self.blobs.put_bytes(image_key("default", name, image), b"image")
        await self.blobs.put_bytes(OTHERS, b"image")
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
        async with running(self.writer.run):
            return await self.erasing.sweep(NOW)

    @property
    def noted(self) -> bool:
        """Whether it was written down that the bytes are gone."""
        return any(isinstance(one, MarkErased) for group in self.ledger.groups for one in group)


def lines() -> bytes:
    said = (
        ResultHead(engine="mistral", model="m", pages=3, billed_pages=3),
        PageResult(index=0, markdown="one", images=(PageImage("1", "a.jpeg"), PageImage("2"))),
        PageResult(index=1, markdown="two"),
        PageResult(
            index=2, markdown="3", images=(PageImage("1", "b.png"), PageImage("2", "c.gif"))
        ),
    )
    return b"".join(msgspec.json.encode(line) + b"\n" for line in said)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_removed_document_loses_its_images_and_then_what_tells_of_them(
    world: World,
) -> None:
    document = await world.fill()
    assert await world.sweep() == 1
    assert list(world.blobs.kept) == [OTHERS]
    assert document.result is not None
    assert world.blobs.deleted[-1] == document.result.key
    assert world.noted


async def test_an_erasing_that_is_broken_off_anywhere_is_done_again(world: World) -> None:
    await world.fill()
    whole = len(world.blobs.kept) - 1
    for nth in range(1, whole + 1):
        world.blobs.nth = nth
        assert await world.sweep() == 0
        assert not world.noted
    assert await world.sweep() == 1
    assert list(world.blobs.kept) == [OTHERS]


async def test_what_is_no_longer_there_does_not_keep_the_rest(world: World) -> None:
    document = await world.fill()
    assert document.result is not None
    assert document.original is not None
    for key in (document.result.key, document.original.key):
        await world.blobs.delete(key)
    assert await world.sweep() == 1
    assert world.noted


async def test_a_result_that_cannot_be_read_does_not_keep_the_rest(world: World) -> None:
    document = await world.fill()
    assert document.result is not None
    world.blobs.kept[document.result.key] = b"{not json\n"
    assert await world.sweep() == 1
    left = {key.partition("/")[0] for key in world.blobs.kept}
    assert left == {"images"}, "they are found on the walk for orphans"


async def test_a_document_without_a_result_is_erased_as_ever(world: World) -> None:
    document = await world.fill()
    world.upkeep.documents = [msgspec.structs.replace(document, result=Blob("none", 0, "0" * 64))]
    assert await world.sweep() == 1
    world.upkeep.documents = [msgspec.structs.replace(document, result=None)]
    assert await world.sweep() == 1
