"""Quality of a conversion: how far its Markdown can be trusted, with the parts of the score.

The score of a page is its conservation times the average confidence of its recognition, where one
that was not measured counts as 1, and 0 for a page that could not be read. The score of a document
is the mean of the scores of its pages.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from .warnings import MAX_WARNINGS, ConversionWarning, PageWarning, join_warnings

UNREADABLE = "page_unreadable"
DECIMALS = 4
_RECOGNISED = ("recognition", "mixed")

Share = Annotated[float, Meta(ge=0, le=1)]
PageCount = Annotated[int, Meta(ge=0, le=1_000_000)]
ConversionWarnings = Annotated[tuple[ConversionWarning, ...], Meta(max_length=MAX_WARNINGS)]


class Quality(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ``score`` of a document from 0 to 1, that of its worst page (``lowest``), and its parts.

    ``conservation`` and ``confidence`` are means over the pages where they were measured.
    ``recognised`` pages were read by recognition, at least in part; of ``plain`` ones only the text
    without layout is given; ``unreadable`` ones are empty. A count of 0 is left out.
    """

    score: Share
    lowest: Share
    conservation: Share | None = None
    confidence: Share | None = None
    recognised: PageCount = 0
    plain: PageCount = 0
    unreadable: PageCount = 0


class PageMeasures(Struct, frozen=True):
    """What a page adds to the quality and the warnings of its document."""

    index: int
    conservation: float | None = None
    confidence: float | None = None
    method: str | None = None
    warnings: tuple[PageWarning, ...] = ()

    @property
    def is_unreadable(self) -> bool:
        """Whether the page could not be read."""
        return any(warning.code == UNREADABLE for warning in self.warnings)

    @property
    def is_measured(self) -> bool:
        """Whether the page has any measure of quality."""
        parts = (self.conservation, self.confidence, self.method)
        return self.is_unreadable or any(part is not None for part in parts)

    @property
    def score(self) -> float:
        """The score of the page."""
        if self.is_unreadable:
            return 0.0
        return _share(self.conservation, 1.0) * _share(self.confidence, 1.0)


def measure(pages: Sequence[PageMeasures]) -> Quality | None:
    """Return the quality of a document; None if it was measured on none of its pages."""
    if not any(page.is_measured for page in pages):
        return None
    scores = [page.score for page in pages]
    score = sum(scores) / len(scores)
    return Quality(
        score=round(score, DECIMALS),
        lowest=round(min(scores), DECIMALS),
        conservation=_mean([page.conservation for page in pages]),
        confidence=_mean([page.confidence for page in pages]),
        recognised=sum(page.method in _RECOGNISED for page in pages),
        plain=sum(page.method == "plain_text" for page in pages),
        unreadable=sum(page.is_unreadable for page in pages),
    )


def warnings_of(pages: Sequence[PageMeasures]) -> tuple[ConversionWarning, ...]:
    """Return the warnings of a document."""
    return join_warnings((page.index, page.warnings) for page in pages)


def _share(value: float | None, default: float) -> float:
    return default if value is None else min(max(value, 0.0), 1.0)


def _mean(values: list[float | None]) -> float | None:
    measured = [_share(value, 0.0) for value in values if value is not None]
    return round(sum(measured) / len(measured), DECIMALS) if measured else None
