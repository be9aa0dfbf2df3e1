"""Plausibility checks of a child's answers.

A child that a document has taken over may claim any number of pages, and pages are billed: to the
tenant of the next document as well.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from actors.content_types import ODS, PDF
from ilios.engines.converters import registry
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.local.protocol import (
    MAX_DRAFT_CHARS,
    MAX_PAGES,
    Answer,
    Broken,
    Converted,
    Counted,
    CountPages,
    Cut,
    CutPages,
    Drafts,
    Outcome,
    Progress,
    Ready,
    Refused,
    RemoveProtection,
    Started,
    Task,
    ToMarkdown,
)
from ilios.engines.page_limits import ImpossiblePage, check_pages, text_sizes
from ilios.engines.pages import ConvertedPage, page_numbers, selected_count

LEAST_PAGE_BYTES = 8
"""Minimum size of a page of a TIFF, a slide, or a sheet of an XLSX, however well it is compressed.
"""

SMALL_PAGES = frozenset({PDF, ODS})
"""Types of which pages may be smaller: a PDF may use one page any number of times, and the sheets
of an ODS are parts of one compressed text."""

MESSAGE_BURST, MESSAGES_PER_SECOND = 100, 20
"""Messages a child may send about one document at once, and per second after that; a sound child
sends five, and one for every 4 MiB that it reads of a large file."""

HEARTBEAT_BYTES = 4 * MIB
WORKSPACE_BYTES = 16 * MIB
"""Bytes that a conversion may need on the volume, beside two copies of the document."""

_OUTCOMES: dict[type[Task], type[Outcome]] = {
    CountPages: Counted,
    CutPages: Cut,
    RemoveProtection: Cut,
}

COUNTED_FROM, COUNTED_ALWAYS = 20, 500
THIN_PAGE_BYTES = 200
"""A document of more than 20 small pages is counted again if it has fewer bytes per page, and any
with 500."""


class ImplausibleAnswer(Exception):
    """An answer of a child cannot be true."""


class AnswerChecker:
    """Checks the answers of a child to one task on a document of ``size`` bytes."""

    def __init__(self, task: Task, content_type: str, size: int, limits: EngineLimits) -> None:
        self._expected = _OUTCOMES.get(type(task), Converted)
        self._task = task if isinstance(task, ToMarkdown) else ToMarkdown()
        self._content_type = content_type
        self._size = size
        self._limits = limits
        self._began = time.monotonic()
        self._messages = 0
        self._drafted = 0

    @property
    def seconds(self) -> float:
        """Seconds since the task began."""
        return time.monotonic() - self._began

    def check(self, answer: Answer) -> None:
        """Make sure that an answer can be true, and is not one of too many.

        :raises ImplausibleAnswer: it is neither.
        """
        self._messages += 1
        allowed = MESSAGE_BURST + MESSAGES_PER_SECOND * self.seconds + self._size // HEARTBEAT_BYTES
        if self._messages > allowed:
            raise ImplausibleAnswer(f"{self._messages} messages in {self.seconds:.1f} s")
        match answer:
            case Converted() if self._expected is Converted:
                self._check_converted(answer)
            case Drafts(pages=results) if self._task.drafts:
                self._check_drafts([ConvertedPage(page) for page in results])
            case Counted(pages=pages) if self._expected is Counted:
                self._check_pages(pages)
            case Cut(data=data) if self._expected is Cut:
                self._check_size(len(data), "bytes")
            case Converted() | Counted() | Cut() | Ready() | Drafts():
                raise ImplausibleAnswer(
                    f"{type(answer).__name__} where {self._expected.__name__} was due"
                )
            case Started() | Progress() | Refused() | Broken():
                pass

    def _check_converted(self, answer: Converted) -> None:
        self._check_pages(answer.selected)
        if answer.selected > self._limits.max_pages:
            raise ImplausibleAnswer(f"{answer.selected} pages, at most {self._limits.max_pages}")
        self._check_portion(answer)
        # In characters; the frame bounds the bytes.
        for what, count in text_sizes(answer.pages).items():
            self._check_size(count, f"characters of {what}")
        _check_bounds(answer.pages)

    def _check_pages(self, count: int) -> None:
        if self._content_type in registry.SINGLE_PAGE_TYPES:
            most = 1
        elif self._content_type in SMALL_PAGES:
            most = MAX_PAGES
        else:
            most = max(1, self._size // LEAST_PAGE_BYTES)
        most = selected_count(self._task.ranges, most)
        if not 1 <= count <= most:
            raise ImplausibleAnswer(
                f"{count} pages in a file of {self._size} bytes, at most {most}"
            )

    def _check_portion(self, answer: Converted) -> None:
        """Make sure that the pages are the next ones: no gap, no page twice, none of another."""
        first, count = self._task.portion.first, len(answer.pages)
        if self._task.total not in (None, answer.selected):
            raise ImplausibleAnswer(f"{answer.selected} pages instead of {self._task.total}")
        most = answer.selected - first
        if answer.total is not None and self._task.portion.most is not None:
            most = min(most, self._task.portion.most)
        if count > most:
            raise ImplausibleAnswer(f"{count} pages of a portion of {most}")
        numbers = page_numbers(self._task.ranges, first, first + count)
        if any(
            page.result.index + 1 != number
            for page, number in zip(answer.pages, numbers, strict=True)
        ):
            raise ImplausibleAnswer("other pages than the next ones")

    def _check_drafts(self, pages: list[ConvertedPage]) -> None:
        """Make sure that drafts are within the bounds, of pages that are selected."""
        self._drafted += sum(text_sizes(pages).values())
        if self._drafted > MAX_DRAFT_CHARS:
            raise ImplausibleAnswer(f"{self._drafted} characters of drafts")
        for page in pages:
            if not self._is_selected(page.result.index + 1):
                raise ImplausibleAnswer(f"a draft of page {page.result.index + 1}")
        _check_bounds(pages)

    def _is_selected(self, number: int) -> bool:
        if not 1 <= number <= MAX_PAGES:
            return False
        ranges = self._task.ranges
        return selected_count(ranges, number - 1) < selected_count(ranges, number)

    def _check_size(self, count: int, what: str) -> None:
        if count > self._limits.max_output_bytes:
            raise ImplausibleAnswer(f"{count} {what}, at most {self._limits.max_output_bytes}")


def _check_bounds(pages: Sequence[ConvertedPage]) -> None:
    try:
        check_pages(pages)
    except ImpossiblePage as error:
        raise ImplausibleAnswer(str(error)) from error


def needs_recount(task: Task, outcome: Outcome, content_type: str, size: int) -> bool:
    """Whether another child should count the pages: at the first portion, as later ones agree.

    That takes a quarter of a second: little beside so many pages, which are seldom that small.
    """
    if not isinstance(outcome, Converted) or content_type not in SMALL_PAGES:
        return False
    if isinstance(task, ToMarkdown) and task.total is not None:
        return False
    count = outcome.selected
    thin = count > COUNTED_FROM and size < THIN_PAGE_BYTES * count
    return thin or count >= COUNTED_ALWAYS


def is_full(directory: Path, document_bytes: int) -> bool:
    """Whether a volume has no room for a conversion now, but may have some later.

    Call it after the child's files are removed: the child may have filled the volume itself.
    """
    needed = WORKSPACE_BYTES + 2 * document_bytes
    try:
        volume = os.statvfs(directory)
    except OSError:
        return False
    if volume.f_files and not volume.f_favail:
        return True
    return volume.f_bavail * volume.f_frsize < needed <= volume.f_blocks * volume.f_frsize
