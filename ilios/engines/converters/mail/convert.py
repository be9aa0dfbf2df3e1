"""Mails to Markdown: each text of a mail is a page, the pages of its attachments follow."""

import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from msgspec import structs

from actors.engines import Unconvertible
from ilios.engines.converters import inline, markdown, registry
from ilios.engines.converters.mail import failures
from ilios.engines.converters.mail.outline import Outline, Section, parse
from ilios.engines.converters.mail.texts import TextReader
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    ConvertedPage,
    Pages,
    Portion,
    Reading,
    check_page_limit,
    model_name,
    selected_indices,
)
from schemas.options import PageRange
from schemas.results import PageHeading, PageResult
from schemas.warnings import PageWarning, page_warning

LEAST_PAGE_BYTES = 8
"""Bytes of a mail for each of its pages; see ``ilios.engines.local.answer_checks``."""

TIME_SHARE = 0.7
"""Share of the time of a conversion after which no further page of an attachment is begun."""

MAX_WARNINGS = 12
"""Warnings about single parts on one page; one more counts the others."""

Progress = Callable[[int, int], None]


class MailConverter:
    """Converts the selected pages of the sections of a mail."""

    def __init__(self, limits: EngineLimits, progress: Progress, reading: Reading) -> None:
        self._limits = limits
        self._progress = progress
        self._reading = reading
        seconds = min(limits.wall_seconds, limits.cpu_seconds) * TIME_SHARE
        self._ends_at = time.monotonic() + seconds
        self._models: dict[str, None] = {model_name("ilios"): None}

    @property
    def model(self) -> str:
        """The names of what has read the mail and its attachments."""
        return "+".join(self._models)

    def convert(self, outline: Outline) -> list[ConvertedPage]:
        """Return the selected pages.

        Of an attachment that turns out to be unreadable there are no pages, and a warning on that
        of the mail; where pages are selected by number, there are empty ones, so that the numbers
        of the others do not depend on it.
        """
        selected = selected_indices(self._reading.ranges, outline.pages)
        total, offset = len(selected), 0
        check_page_limit("mail", "pages", outline.pages, total, self._limits.max_pages)
        pages: list[ConvertedPage] = []
        firsts: dict[Section, int] = {}
        for section in outline.sections:
            local = _within(selected, offset, offset + section.pages)
            offset += section.pages
            if not local:
                continue
            self._progress(len(pages), total)
            made = self._section(section, local, len(pages), total)
            if self._reading.ranges:
                made += [_unreadable()] * (len(local) - len(made))
            if made:
                firsts[section] = len(pages)
            pages += made
        for section in outline.sections:
            shown = section if section in firsts or section.owner is None else section.owner
            if pages and (section.problems or section.left_out):
                place = firsts.get(shown, 0)
                pages[place] = _warned(pages[place], section)
        numbers = selected if self._reading.ranges else range(len(pages))
        return [
            ConvertedPage(structs.replace(page.result, index=index), page.image_bytes)
            for page, index in zip(pages, numbers, strict=False)
        ]

    def _section(
        self, section: Section, local: Sequence[int], before: int, total: int
    ) -> list[ConvertedPage]:
        if section.message is not None:
            reader = TextReader(self._reading, lambda: self._progress(before, total))
            return [reader.page(section.message, section.name, section.attached)]
        if time.monotonic() >= self._ends_at:
            section.left_out.append(f"{section.name}, as the time of the conversion is over")
            return []
        reading = structs.replace(
            self._reading,
            ranges=() if len(local) == section.pages else _ranges(local),
            portion=Portion(ends_at=self._ends_at),
        )
        assert section.path is not None
        converter = registry.load_converter(section.content_type)
        try:
            with failures.unreadable_part():
                converted = converter(
                    section.path,
                    self._limits,
                    lambda done, _: self._progress(min(before + done, total), total),
                    reading,
                )
        except Unconvertible as refusal:
            section.problems.append(f"{section.name} ({refusal.reason})")
            return []
        self._models[converted.model] = None
        if len(converted.pages) < len(local):
            count = len(local) - len(converted.pages)
            section.left_out.append(
                f"the last {count} pages of {section.name}, as the time of the conversion is over"
            )
        pages = list(converted.pages[: len(local)])
        if pages and local[0] == 0:
            pages[0] = _headed(section.name, pages[0])
        return pages


@contextmanager
def outlined(path: Path, progress: Progress) -> Iterator[Outline]:
    """Yield the outline of the mail in a file.

    :raises Unconvertible: it is damaged, or claims more pages than it can have.
    """
    progress(0, 1)
    size = path.stat().st_size
    with tempfile.TemporaryDirectory(prefix="attachments-") as folder:
        outline = Outline(Path(folder), lambda: progress(0, 1))
        outline.add(parse(path.read_bytes()))
        if outline.pages > max(1, size // LEAST_PAGE_BYTES):
            raise Unconvertible("too_many_pages", "The mail has more pages than it has text.")
        yield outline


def convert(
    path: Path, limits: EngineLimits, progress: Progress, reading: Reading = WHOLE
) -> Pages:
    """Convert a mail; see ``ilios.engines.converters.registry.Converter``."""
    converter = MailConverter(limits, progress, reading)
    with outlined(path, progress) as outline:
        pages = converter.convert(outline)
    progress(len(pages), len(pages))
    return Pages(pages, converter.model)


def count_pages(path: Path) -> int:
    """Return how many pages a mail has with its attachments."""
    with outlined(path, lambda *_: None) as outline:
        return outline.pages


def _within(selected: Sequence[int], start: int, stop: int) -> list[int]:
    """Return the selected pages of a section, counted from its first one."""
    first, last = bisect_left(selected, start), bisect_left(selected, stop)
    return [index - start for index in selected[first:last]]


def _ranges(indices: Sequence[int]) -> tuple[PageRange, ...]:
    ranges = []
    for _, group in groupby(enumerate(indices), key=lambda one: one[1] - one[0]):
        run = [index for _, index in group]
        ranges.append(PageRange(run[0] + 1, run[-1] + 1))
    return tuple(ranges)


def _unreadable() -> ConvertedPage:
    warning = page_warning("page_unreadable")
    return ConvertedPage(PageResult(index=0, markdown="", warnings=(warning,)))


def _headed(name: str, page: ConvertedPage) -> ConvertedPage:
    """Return the first page of an attachment under its name."""
    title = inline.escape(markdown.one_line(name))
    result = structs.replace(page.result, markdown=f"# {title}\n\n{page.result.markdown}".strip())
    if page.result.headings or page.result.method is not None:
        result = structs.replace(result, headings=(PageHeading(1, title), *page.result.headings))
    return ConvertedPage(result, page.image_bytes)


def _warned(page: ConvertedPage, section: Section) -> ConvertedPage:
    """Return a page with the warnings of a section, which are placed once."""
    warnings: list[PageWarning] = []
    for code, details in (
        ("part_unreadable", section.problems),
        ("content_left_out", section.left_out),
    ):
        warnings += [page_warning(code, detail) for detail in details[:MAX_WARNINGS]]
        if len(details) > MAX_WARNINGS:
            warnings.append(page_warning(code, f"{len(details) - MAX_WARNINGS} further parts"))
        details.clear()
    result = structs.replace(page.result, warnings=(*warnings, *page.result.warnings))
    return ConvertedPage(result, page.image_bytes)
