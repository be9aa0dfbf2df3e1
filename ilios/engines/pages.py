"""Pages of a document: those that are selected, and those a converter has made."""

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from typing import Protocol

from msgspec import Struct

from actors.engines import SourceFile, Unconvertible
from schemas.options import (
    MergedCells,
    PageRange,
    RecognitionMode,
    TrackedChanges,
    select_pages,
)
from schemas.results import PageResult

Ranges = tuple[PageRange, ...]
"""Selected pages as in ``ConversionOptions.page_ranges``; empty means all."""


BATCH_PAGES = 64
"""Selected pages of a PDF that are parsed, compared and laid out at once: one takes up to 2 MB of
memory. A portion that ends between the multiples has the rest of the batch looked at twice."""


class Portion(Struct, frozen=True):
    """Which of the selected pages to convert: ``most`` from the position ``first``, counted from 0.

    A converter that has at least one page ends before the next slow one when the portion is over,
    by ``time.monotonic``. It returns pages without a gap, which are the same in each portion.
    """

    first: int = 0
    most: int | None = None
    ends_at: float = math.inf

    @property
    def is_over(self) -> bool:
        """Whether the time of the portion has passed."""
        return time.monotonic() >= self.ends_at

    def of(self, selected: Sequence[int]) -> Sequence[int]:
        """Return the pages of the portion."""
        return selected[self.first : None if self.most is None else self.first + self.most]


class Spent(Struct, frozen=True):
    """What the portions before took of the budgets of a document.

    ``image_bytes`` are those of the images that are handed out, ``pictures`` those that were read
    beside a text layer.
    """

    image_bytes: int = 0
    pictures: int = 0


class Reading(Struct, frozen=True):
    """What a converter reads of a document: a portion of the pages in ``ranges``, in ``languages``.

    The other members are those of ``ConversionOptions``, where None means the default.
    """

    ranges: Ranges = ()
    languages: tuple[str, ...] = ()
    recognition: RecognitionMode | None = None
    tracked_changes: TrackedChanges | None = None
    comments: bool = False
    merged_cells: MergedCells | None = None
    portion: Portion = Portion()
    spent: Spent = Spent()


WHOLE = Reading()
"""All pages, as the document suggests."""


class ConvertedPage(Struct, frozen=True):
    """A page as a converter made it.

    ``image_bytes`` are encoded images by the id of the ``PageImage`` in ``result``.
    """

    result: PageResult
    image_bytes: dict[str, bytes] = {}


class Pages(Struct, frozen=True):
    """The converted pages in page order, and the name of what read them.

    ``total`` is the number of selected pages, of which these may be a portion; None where a
    converter always converts all of them. ``pictures`` is how many were read beside a text layer.
    """

    pages: list[ConvertedPage]
    model: str
    total: int | None = None
    pictures: int = 0


class PageSplitter(Protocol):
    """Counts the pages of documents and cuts PDFs, outside of this process. Errors as an engine."""

    async def count_pages(self, document: SourceFile) -> int:
        """Return how many pages, frames or slides a document has."""
        ...

    async def cut_pages(self, document: SourceFile, indices: Sequence[int]) -> bytes:
        """Return pages of a PDF, counted from 0, as another PDF."""
        ...

    async def remove_protection(self, document: SourceFile) -> bytes:
        """Return a PDF as one that needs no password."""
        ...


def selected_indices(ranges: Ranges, count: int) -> Sequence[int]:
    """Return the selected ones of ``count`` pages in ascending order, counted from 0.

    :raises Unconvertible: ``pages_out_of_range``, none of them is selected.
    """
    if not ranges:
        return range(count)
    indices = [number - 1 for number in select_pages(ranges, count)]
    if not indices:
        pages = f"{count} pages" if count != 1 else "1 page"
        raise Unconvertible(
            "pages_out_of_range",
            f"None of the selected pages exists: the document has {pages}.",
        )
    return indices


def selected_count(ranges: Ranges, count: int) -> int:
    """Return how many of ``count`` pages are selected, without listing them."""
    if not ranges:
        return count
    lasts = (count if one.last is None else min(one.last, count) for one in ranges)
    return sum(max(0, last - one.first + 1) for one, last in zip(ranges, lasts, strict=True))


def page_numbers(ranges: Ranges, first: int, last: int) -> Iterator[int]:
    """Yield the numbers, from 1, of the selected pages at the positions ``first`` to ``last``.

    Positions count from 0 without ``last``. All of them have to exist.
    """
    numbers = itertools.chain.from_iterable(
        itertools.count(one.first) if one.last is None else range(one.first, one.last + 1)
        for one in ranges
    )
    return itertools.islice(numbers if ranges else itertools.count(1), first, last)


def check_page_limit(kind: str, unit: str, count: int, selected: int, limit: int) -> None:
    """Refuse a document with too many pages to convert.

    :raises Unconvertible: ``too_many_pages``.
    """
    if selected > limit:
        what = f"has {count}" if selected == count else f"has {selected} selected"
        raise Unconvertible(
            "too_many_pages", f"The {kind} {what} {unit}; at most {limit} are allowed."
        )


@cache  # each look reads and parses files of the distribution
def model_name(*distributions: str) -> str:
    """Return ``liteparse-2.18+rapidocr-3.10`` for these installed distributions."""
    return "+".join(f"{name}-{'.'.join(version(name).split('.')[:2])}" for name in distributions)
