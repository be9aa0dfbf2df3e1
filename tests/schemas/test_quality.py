"""The score follows from its parts, and what an event lists of a document is bounded."""

import msgspec
import pytest

from schemas.quality import ConversionWarnings, Quality, measure, warnings_of
from schemas.results import PageConfidence, PageResult, ReadingMethod
from schemas.warnings import (
    MAX_LISTED_PAGES,
    MAX_MESSAGES,
    MAX_WARNING_PAGES,
    MAX_WARNINGS,
    MESSAGES,
    PageWarning,
    page_warning,
)


def page(
    index: int,
    conservation: float | None = None,
    confidence: float | None = None,
    method: ReadingMethod | None = None,
    *codes: str,
) -> PageResult:
    return PageResult(
        index=index,
        markdown="",
        conservation=conservation,
        confidence=None if confidence is None else PageConfidence(confidence, 0.1),
        method=method,
        warnings=tuple(page_warning(code) for code in codes),
    )


def quality(*pages: PageResult) -> Quality | None:
    return measure([one.measures for one in pages])


def test_the_score_is_the_mean_of_conservation_times_confidence() -> None:
    assert quality(
        page(0, 1.0, None, "text_layer"),
        page(1, 0.5, 0.8, "recognition"),
        page(2, None, 0.6, "mixed"),
        page(3, 0.9, None, "plain_text"),
    ) == Quality(score=0.725, lowest=0.4, conservation=0.8, confidence=0.7, recognised=2, plain=1)


def test_an_unreadable_page_scores_nothing() -> None:
    read = page(0, 1.0, None, "text_layer")
    assert quality(read, page(1, None, None, None, "page_unreadable")) == Quality(
        score=0.5, lowest=0.0, conservation=1.0, unreadable=1
    )


def test_what_was_not_measured_has_no_quality() -> None:
    assert quality(page(0), page(1, None, None, None, "image_text_unread")) is None


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_its_range_is_not_read(share: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"score":%f,"lowest":0}' % share, type=Quality)


def test_equal_warnings_of_pages_are_joined() -> None:
    pages = [page(n, None, None, None, *["page_fell_back"] * 2) for n in (0, 2)]
    (warning,) = warnings_of([one.measures for one in pages])
    assert (warning.code, warning.message, warning.pages) == (
        "page_fell_back",
        MESSAGES["page_fell_back"],
        (1, 3),
    )


def test_further_sentences_of_a_code_become_a_general_one() -> None:
    pages = [
        PageResult(index=n, markdown="", warnings=(page_warning("page_incomplete", f"{n}"),))
        for n in range(10)
    ]
    joined = warnings_of([one.measures for one in pages])
    assert [one.pages for one in joined] == [(1,), (2,), (3,), (4,), (5, 6, 7, 8, 9, 10)]
    assert joined[-1].message.endswith("see the warnings of each page.")


def test_the_warnings_of_any_document_fit_into_an_event() -> None:
    many = tuple(PageWarning(f"code_{n}", "x" * 500) for n in range(2 * MAX_WARNINGS))
    pages = [PageResult(index=n, markdown="", warnings=many[n % 9 :]) for n in range(1200)]
    joined = warnings_of([one.measures for one in pages])
    assert len(joined) == MAX_WARNINGS > MAX_MESSAGES
    assert max(len(one.pages) for one in joined) <= MAX_WARNING_PAGES
    assert sum(len(one.pages) for one in joined) == MAX_LISTED_PAGES
    body = msgspec.json.encode(joined)
    assert len(body) < 128 * 1024
    assert msgspec.json.decode(body, type=ConversionWarnings) == joined
