"""Pages of a long document are there before it is converted."""

from collections.abc import Sequence

import pytest

from actors.engines import PageListener
from ilios.engines.local import child
from ilios.engines.local.answer_checks import MESSAGE_BURST, AnswerChecker, ImplausibleAnswer
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.protocol import MAX_DRAFT_CHARS, Answer, Drafts, ToMarkdown
from ilios.engines.pages import BATCH_PAGES
from schemas.options import PageRange
from schemas.results import PageImage, PageResult
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument

ONE = EngineLimits(processes=1)


class Listener(PageListener):
    """Records what a conversion reports, in order."""

    def __init__(self) -> None:
        self.counts: list[tuple[int, int]] = []
        self.drafts: list[Sequence[PageResult]] = []

    def __call__(self, done: int, total: int) -> None:
        self.counts.append((done, total))

    def drafted(self, pages: Sequence[PageResult]) -> None:
        self.drafts.append(pages)


def text_of(number: int) -> str:
    return f"This is page number {number}, with words of its own."


async def test_the_first_page_comes_alone_and_then_batch_after_batch(
    place_document: PlaceDocument,
) -> None:
    listener, count = Listener(), 2 * BATCH_PAGES + 5
    made = documents.pdf(*map(text_of, range(count)))
    async with LocalEngine(ONE) as engine:
        conversion = await engine.convert(place_document(made, documents.PDF), listener)
    first, *batches = listener.drafts
    assert [page.index for page in first] == [0]
    assert text_of(0) in first[0].markdown
    drafted = [page for batch in batches for page in batch]
    assert [page.index for page in drafted] == list(range(2 * BATCH_PAGES))
    assert [page.markdown for page in drafted] == list(conversion.pages[: 2 * BATCH_PAGES])
    assert listener.engine == "local"
    assert listener.counts[-1] == (count, count)


async def test_a_short_document_has_no_drafts_and_costs_no_message(
    place_document: PlaceDocument,
) -> None:
    listener = Listener()
    made = documents.pdf(*map(text_of, range(10)))
    async with LocalEngine(ONE) as engine:
        await engine.convert(place_document(made, documents.PDF), listener)
    assert listener.drafts == []
    assert listener.counts[-1] == (10, 10)


def checker(task: ToMarkdown) -> AnswerChecker:
    return AnswerChecker(task, documents.PDF, 10_000, EngineLimits())


def draft(index: int, text: str = "text") -> Drafts:
    return Drafts((PageResult(index=index, markdown=text),))


def test_a_draft_that_was_not_asked_for_is_implausible() -> None:
    with pytest.raises(ImplausibleAnswer):
        checker(ToMarkdown()).check(draft(0))


@pytest.mark.parametrize("index", [-1, 0, 3, 10**9])
def test_a_draft_of_a_page_that_is_not_selected_is_implausible(index: int) -> None:
    check = checker(ToMarkdown(ranges=(PageRange(2, 3),), drafts=True))
    check.check(draft(1))
    check.check(draft(2))
    with pytest.raises(ImplausibleAnswer):
        check.check(draft(index))


def test_drafts_without_end_are_implausible() -> None:
    check = checker(ToMarkdown(drafts=True))
    check.check(draft(0, "x" * (MAX_DRAFT_CHARS // 2)))
    with pytest.raises(ImplausibleAnswer):
        check.check(draft(0, "x" * MAX_DRAFT_CHARS))


def test_a_child_that_recognises_pages_fast_stays_within_the_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check, sent = checker(ToMarkdown(drafts=True)), list[Answer]()
    monkeypatch.setattr(child, "write_answer", lambda _, answer: sent.append(answer))
    reports = child.Reports(0, drafts=True)
    for number in range(MESSAGE_BURST * 5):
        reports.drafted([PageResult(index=number, markdown="text")])
    for answer in sent:
        check.check(answer)
    assert sent


def test_a_draft_with_a_name_for_an_image_is_implausible() -> None:
    named = PageResult(index=0, markdown="x", images=(PageImage("one", "another.png"),))
    check = checker(ToMarkdown(drafts=True))
    with pytest.raises(ImplausibleAnswer):
        check.check(Drafts((named,)))
