"""What an engine reports of a conversion becomes events, seldom enough to cost nothing."""

from pathlib import Path

from actors.cancellations import Cancellations
from actors.draft_pages import DraftPages
from actors.engines import Conversion, Progress, SourceFile, name_engine
from actors.ocr import Ocr
from actors.page_events import EVENT_INTERVAL, PageEvents, PagePorts
from bus.connection import Connection
from bus.publisher import Publisher
from schemas.documents import DocumentConverted
from schemas.pages import PageConverted
from schemas.results import PageResult
from tests import events
from tests.actors.fakes import FakeBlobs, FakeEngine
from tests.actors.running import Streams, running_in_background


def ports(published: list[PageConverted], drafts: DraftPages) -> PagePorts:
    return PagePorts(published.append, drafts.put, drafts.discard)


class Reports:
    """A listener, the clock it goes by, and what it has published."""

    def __init__(self) -> None:
        self.now = 100.0
        self.published: list[PageConverted] = []
        self.pages = PageEvents(
            events.fetched(), ports(self.published, DraftPages()), lambda: self.now
        )

    def report(self, done: int, total: int, after: float) -> None:
        self.now += after
        self.pages(done, total)

    def numbers(self) -> list[tuple[int, int]]:
        return [(event.page, event.of) for event in self.published]


def test_fast_pages_share_one_event_and_the_last_page_always_has_one() -> None:
    reports = Reports()
    for done in range(11):
        reports.report(done, 10, after=0.001)
    assert reports.numbers() == [(10, 10)]


def test_a_slow_document_has_an_event_for_each_page() -> None:
    reports = Reports()
    name_engine(reports.pages, "local")
    reports.report(0, 3, after=0)
    for done in (1, 2, 3):
        reports.report(done, 3, after=EVENT_INTERVAL)
    assert reports.numbers() == [(1, 3), (2, 3), (3, 3)]
    assert [event.seconds for event in reports.published] == [0.25, 0.5, 0.75]
    assert {event.engine for event in reports.published} == {"local"}


def test_the_last_page_is_reported_once_also_while_it_is_finished_for_long() -> None:
    reports = Reports()
    for _ in range(5):
        reports.report(2, 2, after=1.0)
    assert reports.numbers() == [(2, 2)]


def test_a_repeated_conversion_counts_again() -> None:
    reports = Reports()
    for done in (2, 0, 1, 2):
        reports.report(done, 2, after=1.0)
    assert reports.numbers() == [(2, 2), (0, 2), (1, 2), (2, 2)]


def test_a_page_that_can_be_read_counts_as_done_until_more_are() -> None:
    reports = Reports()
    reports.pages.drafted([PageResult(index=0, markdown="the first")])
    for done in (0, 64):
        reports.report(done, 600, after=1.0)
    assert reports.numbers() == [(1, 0), (1, 600), (64, 600)]


class ReportingEngine(FakeEngine):
    """Reports that its two pages are done."""

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        name_engine(progress, "fake")
        assert progress is not None
        progress(2, 2)
        return await super().convert(document, progress)


async def test_the_worker_publishes_the_pages_of_the_tenants_document(
    connection: Connection, tmp_path: Path
) -> None:
    blobs, published = FakeBlobs(tmp_path), list[PageConverted]()
    blobs.stored["original"] = b"foo"
    ocr = Ocr(
        connection,
        blobs,
        ReportingEngine(),
        Cancellations(connection),
        concurrency=1,
        pages=ports(published, DraftPages()),
    )
    async with running_in_background(ocr.run):
        await Publisher(connection).publish(events.fetched(tenant="acme"))
        await Streams(connection).wait_for(DocumentConverted)
    (event,) = published
    assert (event.tenant, event.document_id) == ("acme", events.id_of(1))
    assert (event.page, event.of, event.engine) == (2, 2, "fake")


def test_the_first_drafts_have_an_event_at_once_and_are_readable_by_then() -> None:
    published, drafts = list[PageConverted](), DraftPages()
    pages = PageEvents(events.fetched(), ports(published, drafts), lambda: 1.0)
    pages(0, 600)
    pages.drafted([PageResult(index=0, markdown="the first")])
    pages.drafted([PageResult(index=1, markdown="the second")])
    assert [(event.page, event.of) for event in published] == [(1, 600)]
    assert b"the second" in drafts.read("default", events.id_of(1))
