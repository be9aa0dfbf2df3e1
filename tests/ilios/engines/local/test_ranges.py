"""Long documents: ranges of pages, stored parts, the time budget, and turns of others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.blob_keys import RESULTS
from actors.engines import Postponed, Progress, SourceFile, Unconvertible
from ilios.blobs.local import LocalBlobs
from ilios.engines.local import ranges
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.long_documents import LongDocuments
from ilios.engines.local.parts import PartStore
from ilios.engines.local.process import TaskResult
from ilios.engines.local.protocol import Converted, ToMarkdown, Wear
from ilios.engines.local.ranges import (
    RANGE_PAGES,
    RANGE_SECONDS,
    Ended,
    RangedConversion,
)
from ilios.engines.page_limits import ImageBudget
from ilios.engines.pages import BATCH_PAGES, page_numbers
from ilios.engines.results import EngineResult
from schemas.options import ConversionOptions
from tests import documents
from tests.conversions import markdown_pages
from tests.ilios.engines.conftest import PlaceDocument

LIMITS = EngineLimits(processes=1, wall_seconds=100, budget_seconds_per_page=0.1)
DOCUMENT = SourceFile(Path("unread"), documents.PDF, sha256="0" * 64, tenant="t", document_id="d")
PAGES = 2 * RANGE_PAGES + 7


class Child:
    """Converts ``pages`` in so many seconds each; ``failures`` are raised at their position."""

    def __init__(self, pages: int, seconds: float, **failures: BaseException) -> None:
        self._pages = pages
        self._seconds = seconds
        self._failures = {int(at[1:]): error for at, error in failures.items()}
        self.tasks: list[ToMarkdown] = []

    async def run(self, task: ToMarkdown, _verify: bool, progress: Progress | None) -> TaskResult:  # noqa: FBT001
        self.tasks.append(task)
        if (error := self._failures.get(task.portion.first)) is not None:
            raise error
        assert task.portion.most is not None
        by_time = max(1, int(RANGE_SECONDS / self._seconds))
        count = min(task.portion.most, by_time, self._pages - task.portion.first)
        if progress is not None:
            progress(count, count)
        numbers = page_numbers(task.ranges, task.portion.first, task.portion.first + count)
        indices = [number - 1 for number in numbers]
        pages = markdown_pages(indices, [f"page {index + 1}" for index in indices])
        took = count * self._seconds
        answer = Converted(tuple(pages), "model-1", Wear(1, cramped=False), self._pages, 2 * count)
        return TaskResult(answer, took, budgeted=took)


def ranged(
    child: Child, store: PartStore | None = None, *, repeated: bool = False, partial: bool = False
) -> RangedConversion:
    options = ConversionOptions(partial=partial)
    document = msgspec.structs.replace(DOCUMENT, may_be_repeated=repeated, options=options)
    return RangedConversion(document, child.run, assemble, LIMITS, store, [])


def assemble(answer: Converted, _budget: ImageBudget) -> EngineResult:
    pages = tuple(page.result for page in answer.pages)
    return EngineResult(pages, {}, "local", answer.model, len(pages))


def texts(ended: Ended) -> tuple[str, ...]:
    return tuple(page.markdown for page in ended.result.pages)


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[LocalBlobs]:
    async with LocalBlobs.open(tmp_path / "blobs") as blobs:
        yield blobs


async def stored(blobs: LocalBlobs) -> list[str]:
    found, _ = await blobs.list_page(RESULTS, None, 1000)
    return [one.key for one in found]


async def parts(blobs: LocalBlobs) -> int:
    """Count the stored parts; the results of conversions are beside them."""
    return sum(".from-" in key for key in await stored(blobs))


async def test_a_short_document_is_one_task_and_stores_nothing(blobs: LocalBlobs) -> None:
    child = Child(3, 0.01)
    ended = await ranged(child, PartStore(blobs, DOCUMENT)).convert(LongDocuments(), None)
    assert texts(ended) == ("page 1", "page 2", "page 3")
    assert (len(child.tasks), await stored(blobs)) == (1, [])


async def test_slow_pages_make_ranges_that_end_by_time(blobs: LocalBlobs) -> None:
    child = Child(30, 1.0)
    ended = await ranged(child, PartStore(blobs, DOCUMENT)).convert(LongDocuments(), None)
    assert texts(ended) == tuple(f"page {number}" for number in range(1, 31))
    assert [task.portion.first for task in child.tasks] == [0, 5, 10, 15, 20, 25]
    assert {task.total for task in child.tasks} == {None, 30}
    assert [task.spent.pictures for task in child.tasks] == [0, 10, 20, 30, 40, 50]
    ends = [task.portion.first + (task.portion.most or 0) for task in child.tasks]
    assert not any(end % BATCH_PAGES for end in ends), "no batch is looked at twice but for time"
    assert len(await stored(blobs)) == 6


async def test_a_repeated_conversion_begins_at_the_first_missing_range(blobs: LocalBlobs) -> None:
    store = PartStore(blobs, DOCUMENT)
    dies = Child(30, 1.0, p25=RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        await ranged(dies, store).convert(LongDocuments(), None)
    child, reported = Child(30, 1.0), list[tuple[int, int]]()
    again = ranged(child, store, repeated=True)
    ended = await again.convert(LongDocuments(), lambda *counts: reported.append(counts))
    assert [task.portion.first for task in child.tasks] == [25]
    assert child.tasks[0].spent.pictures == 50
    assert texts(ended) == tuple(f"page {number}" for number in range(1, 31))
    assert (ended.seconds, ended.missing) == (30, None)
    assert reported == [(25, 30), (30, 30)]


async def test_parts_after_a_missing_or_damaged_one_are_not_used(blobs: LocalBlobs) -> None:
    store = PartStore(blobs, DOCUMENT)
    await ranged(Child(30, 1.0), store).convert(LongDocuments(), None)
    other = b"".join([piece async for piece in blobs.read(store.key(15))])
    await blobs.put_bytes(store.key(10), other)
    child = Child(30, 1.0)
    await ranged(child, store, repeated=True).convert(LongDocuments(), None)
    assert [task.portion.first for task in child.tasks] == [10, 15, 20, 25]


async def test_other_options_find_no_parts(blobs: LocalBlobs) -> None:
    await ranged(Child(30, 1.0), PartStore(blobs, DOCUMENT)).convert(LongDocuments(), None)
    others = msgspec.structs.replace(DOCUMENT, options=ConversionOptions(pages="1-20"))
    assert await PartStore(blobs, others).find() == []


async def test_a_document_fails_when_its_time_budget_ends() -> None:
    child = Child(300, 2.0)  # 600 seconds, of which 130 are allowed
    with pytest.raises(Unconvertible, match=r"of 130 seconds when 66 of 300 pages") as caught:
        await ranged(child).convert(LongDocuments(), None)
    assert caught.value.code == "time_budget"
    assert sum(1 for _ in child.tasks) == 33


async def test_a_partial_result_has_the_pages_that_are_done() -> None:
    ended = await ranged(Child(300, 2.0), partial=True).convert(LongDocuments(), None)
    assert len(texts(ended)) == 66
    warning = ended.missing
    assert warning is not None
    assert (warning.code, warning.pages) == ("partial_result", tuple(range(67, 301)))
    assert warning.message.endswith("converted: 67 to 300.")


async def test_a_hung_range_is_a_timeout_unless_a_part_is_enough() -> None:
    hung = Unconvertible("timeout", "It hangs.")
    with pytest.raises(Unconvertible, match="It hangs"):
        await ranged(Child(30, 1.0, p20=hung)).convert(LongDocuments(), None)
    ended = await ranged(Child(30, 1.0, p20=hung), partial=True).convert(LongDocuments(), None)
    assert (len(texts(ended)), ended.missing is None) == (20, False)
    with pytest.raises(Unconvertible, match="It hangs"):
        await ranged(Child(30, 1.0, p0=hung), partial=True).convert(LongDocuments(), None)


@pytest.mark.parametrize(("limit", "seconds"), [(4.0, 2.0), (300.0, RANGE_SECONDS)])
async def test_a_range_ends_well_before_its_time_limit(limit: float, seconds: float) -> None:
    child = Child(3, 0.01)
    limits = msgspec.structs.replace(LIMITS, wall_seconds=limit)
    conversion = RangedConversion(DOCUMENT, child.run, assemble, limits, None, [])
    await conversion.convert(LongDocuments(), None)
    assert [task.seconds for task in child.tasks] == [seconds]


async def test_of_a_first_range_that_hangs_the_pages_before_are_a_partial_result(
    blobs: LocalBlobs,
) -> None:
    hung = Unconvertible("timeout", "It hangs.")

    class Hangs(Child):
        async def run(self, task: ToMarkdown, *given: Any) -> TaskResult:
            if task.portion.most != 3:
                self.tasks.append(task)
                report = given[-1]
                report(3, 30)
                raise hung
            return await super().run(task, *given)

    child = Hangs(30, 1.0)
    store = PartStore(blobs, DOCUMENT)
    ended = await ranged(child, store, partial=True).convert(LongDocuments(), None)
    assert texts(ended) == ("page 1", "page 2", "page 3")
    assert ended.missing is not None
    assert ended.missing.pages == tuple(range(4, 31))
    assert len(child.tasks) == 2
    with pytest.raises(Unconvertible, match="It hangs"):
        await ranged(Hangs(30, 1.0)).convert(LongDocuments(), None)


async def test_too_many_long_documents_are_postponed_after_their_first_range(
    blobs: LocalBlobs,
) -> None:
    others = LongDocuments(2, 1)
    store, first = PartStore(blobs, DOCUMENT), Child(30, 1.0)
    with others.admitted(DOCUMENT):
        with pytest.raises(Postponed):
            await ranged(first, store).convert(others, None)
        await ranged(Child(5, 1.0)).convert(others, None)  # a short one is not
        urgent = msgspec.structs.replace(DOCUMENT, urgent=True)
        elses = msgspec.structs.replace(DOCUMENT, tenant="other")
        with (
            others.admitted(elses),
            others.admitted(urgent),
            pytest.raises(Postponed),
            others.admitted(msgspec.structs.replace(elses, tenant="u")),
        ):
            pass
    assert len(first.tasks) == 1
    child = Child(30, 1.0)
    await ranged(child, store, repeated=True).convert(others, None)
    assert child.tasks[0].portion.first == 5


def placed(place_document: PlaceDocument, data: bytes, document_id: str = "d") -> SourceFile:
    document = place_document(data, documents.PDF)
    return msgspec.structs.replace(document, tenant="t", document_id=document_id)


async def test_parts_stay_until_the_document_has_ended(
    place_document: PlaceDocument, blobs: LocalBlobs
) -> None:
    texts = tuple(f"Page {number}" for number in range(1, PAGES + 1))
    document = placed(place_document, documents.pdf(*texts))
    async with LocalEngine(LIMITS, blobs=blobs) as engine:
        assert (await engine.convert(document)).pages == texts
        assert await parts(blobs) == 3
        repeated = msgspec.structs.replace(document, may_be_repeated=True)
        async with LocalEngine(LIMITS, blobs=blobs) as later:
            assert (await later.convert(repeated)).pages == texts
            assert not later.child_pids, "nothing was converted again"
        await engine.discard_parts(document)
    assert await parts(blobs) == 0


async def test_parts_of_a_killed_process_are_deleted_with_their_document(
    blobs: LocalBlobs,
) -> None:
    child = Child(PAGES, 0.01, p512=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await ranged(child, PartStore(blobs, DOCUMENT)).convert(LongDocuments(), None)
    left = await parts(blobs)
    assert left == 2
    async with LocalEngine(LIMITS, blobs=blobs) as later:
        await later.discard_parts(DOCUMENT)
        assert await parts(blobs) == left, "nothing is looked up for a new document"
        await later.discard_parts(msgspec.structs.replace(DOCUMENT, may_be_repeated=True))
    assert await parts(blobs) == 0


async def test_a_document_passes_a_long_one_of_its_tenant(place_document: PlaceDocument) -> None:
    many = documents.pdf(*["some words of a line\n" * 20] * 4 * RANGE_PAGES)
    async with LocalEngine(LIMITS) as engine:
        await engine.check()
        begun = asyncio.Event()
        converting = asyncio.create_task(
            engine.convert(placed(place_document, many, "long"), lambda *_: begun.set())
        )
        await begun.wait()
        await engine.convert(placed(place_document, documents.pdf("Short."), "short"))
        assert not converting.done()
        assert len((await converting).pages) == 4 * RANGE_PAGES


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
async def test_a_range_of_scans_ends_by_time(
    place_document: PlaceDocument, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(ranges, "RANGE_SECONDS", 0.0)
    scans = [documents.text_image(f"Number {number}") for number in (1, 2, 3)]
    data = documents.image_file(scans[0], kind, scans[1:])
    content_type = documents.PDF if kind == "PDF" else documents.TIFF
    document = msgspec.structs.replace(
        placed(place_document, data), content_type=content_type, options=ConversionOptions()
    )
    async with LocalEngine(LIMITS, blobs=blobs) as engine:
        conversion = await engine.convert(document)
    assert [text.split()[-1] for text in conversion.pages] == ["1", "2", "3"]
    assert conversion.result is not None
    assert await parts(blobs) == 3
