"""Conversion of a document range by range, with a time budget for all of them."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

import structlog
from msgspec import Struct

from actors.engines import (
    PageListener,
    Progress,
    SourceFile,
    Unconvertible,
    report_drafts,
    wants_drafts,
)
from bus import failpoints
from ilios.engines.converters.registry import DIVIDED_TYPES
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.long_documents import LongDocuments
from ilios.engines.local.parts import Part, PartHead, PartStore
from ilios.engines.local.process import TaskResult
from ilios.engines.local.protocol import Converted, ToMarkdown
from ilios.engines.page_limits import ImageBudget
from ilios.engines.pages import BATCH_PAGES, Portion, Spent, page_numbers
from ilios.engines.results import EngineResult
from schemas.results import PageResult
from schemas.warnings import MAX_WARNING_PAGES, MESSAGES, ConversionWarning

RANGE_PAGES = 4 * BATCH_PAGES
"""Most pages of a range."""

RANGE_SECONDS = 5.0
"""Time after which a range ends with a slow page or a batch, and other documents get their turn."""

LIMIT_SHARE = 0.5
"""Share of the time limit of a range after which it ends as well, where that is short."""

RunTask = Callable[[ToMarkdown, bool, Progress | None], Awaitable[TaskResult]]
"""Runs a task on the document; verifies the digest of the document if true."""

Assemble = Callable[[Converted, ImageBudget], EngineResult]
"""Makes a result of the answer of a child, with as many images as a document may still have."""

log = structlog.get_logger("local engine")


class Ended(Struct, frozen=True):
    """The result of all ranges; ``missing`` is the warning about pages that were not converted.

    ``images`` of the result are those that are not stored yet.
    """

    result: EngineResult
    seconds: float
    missing: ConversionWarning | None = None


class RangedConversion:
    """The conversion of one document, most of which have a single range.

    A longer one queues for a child for each range. Its parts are stored in ``store``, and found
    there by a repeated conversion; ``keys`` collects their keys.
    """

    def __init__(
        self,
        document: SourceFile,
        run: RunTask,
        assemble: Assemble,
        limits: EngineLimits,
        store: PartStore | None,
        keys: list[str],
    ) -> None:
        self._document = document
        self._run = run
        self._assemble = assemble
        self._limits = limits
        self._store = store
        self._keys = keys
        self._parts: list[Part] = []
        self._reported = 0

    async def convert(self, others: LongDocuments, progress: Progress | None) -> Ended:
        """Convert what is missing.

        :raises Unconvertible: a range cannot be converted, or the budget has ended.
        :raises EngineCrashed: the child died; stored parts stay.
        :raises Postponed: the document is long, and as many others are at work as may be.
        """
        await self._find_parts()
        if self._parts and progress is not None:
            progress(self._done, self._parts[0].head.total)
            for part in self._parts:
                report_drafts(progress, part.pages)
        if not self._parts:
            result, cut_short = await self._convert_first(progress)
            if self._is_complete:
                return Ended(result, self._parts[0].head.seconds)
            await self._store_part(result)
            report_drafts(progress, result.pages)
            if cut_short:
                return self._joined()
        with ExitStack() as stack:
            if not self._is_complete:
                stack.enter_context(others.admitted(self._document))
            while not self._is_complete:
                try:
                    self._check_budget()
                    result = await self._convert_range(progress)
                    self._check_size()
                except Unconvertible as error:
                    if self._document.options.partial and error.code in TIME_CODES:
                        return self._joined()
                    raise
                await self._store_part(result)
                report_drafts(progress, result.pages)
        return self._joined()

    @property
    def _done(self) -> int:
        return self._parts[-1].last if self._parts else 0

    @property
    def _is_complete(self) -> bool:
        return bool(self._parts) and self._done >= self._parts[0].head.total

    async def _find_parts(self) -> None:
        """Look for what a former attempt has stored."""
        if self._store is None or not (self._document.may_be_repeated or self._keys):
            return
        self._parts = await self._store.find()
        self._keys[:] = [self._store.key(part.head.first) for part in self._parts]
        if self._parts:
            log.info("stored ranges found", ranges=len(self._parts), pages=self._done)

    async def _store_part(self, result: EngineResult) -> None:
        part = self._parts[-1]
        if self._store is not None:
            self._keys.append(await self._store.put(part, result.images))
        log.info(
            "range converted",
            first=part.head.first,
            pages=len(part.pages),
            total=part.head.total,
            seconds=round(part.head.seconds, 3),
        )
        failpoints.reach("engine.range_stored")

    async def _convert_first(self, progress: Progress | None) -> tuple[EngineResult, bool]:
        """Convert the first range; return it and whether it is all that can be had.

        If it takes too long, and a part is enough, the pages that were done are converted once
        more: nothing of a child that is killed is left.
        """
        try:
            return await self._convert_range(progress), False
        except Unconvertible as error:
            if not (self._document.options.partial and error.code in TIME_CODES and self._reported):
                raise
            log.info("range cut short", pages=self._reported, reason=error.code)
            try:
                return await self._convert_range(progress, most=self._reported), True
            except Unconvertible:
                raise error from None

    async def _convert_range(
        self, progress: Progress | None, most: int | None = None
    ) -> EngineResult:
        first, options = self._done, self._document.options
        heads = [part.head for part in self._parts]
        total = heads[0].total if heads else None
        images, image_bytes = (
            sum(one.images for one in heads),
            sum(one.image_bytes for one in heads),
        )
        task = ToMarkdown(
            ranges=options.page_ranges,
            languages=options.languages,
            recognition=options.recognition,
            tracked_changes=options.tracked_changes,
            comments=options.comments,
            merged_cells=options.merged_cells,
            portion=Portion(first, most or RANGE_PAGES - first % BATCH_PAGES),
            seconds=min(RANGE_SECONDS, LIMIT_SHARE * self._limits.wall_seconds),
            spent=Spent(image_bytes, sum(one.pictures for one in heads)),
            total=total,
            drafts=wants_drafts(progress),
        )

        # The digest holds for all ranges: hashing a large file for each would cost more than a few.
        done = await self._run(task, first == 0, _RangeProgress(self, progress, first, total))
        answer = done.outcome
        assert isinstance(answer, Converted)
        result = self._assemble(answer, ImageBudget(images, image_bytes))
        head = PartHead(
            first,
            answer.selected,
            answer.model,
            done.seconds,
            done.budgeted,
            len(result.images),
            sum(map(len, result.images.values())),
            answer.pictures,
        )
        self._parts.append(Part(head, result.pages))
        return result

    def record_progress(self, done: int) -> None:
        """Remember how many pages of the range are done."""
        if self._document.content_type in DIVIDED_TYPES:
            self._reported = done

    def _check_budget(self) -> None:
        used = sum(part.head.budgeted for part in self._parts)
        total = self._parts[0].head.total
        budget = self._limits.wall_seconds + total * self._limits.budget_seconds_per_page
        if used >= budget:
            raise Unconvertible(
                "time_budget",
                f"The document used up its time budget of {budget:g} seconds when {self._done} of "
                f"{total} pages were converted; submit it with partial=true to get these, or "
                f"submit fewer pages.",
            )

    def _check_size(self) -> None:
        pages = (page.markdown for part in self._parts for page in part.pages)
        if sum(len(text.encode()) for text in pages) > self._limits.max_output_bytes:
            raise Unconvertible(
                "too_large",
                f"The document becomes more than {self._limits.max_output_bytes} bytes of "
                "Markdown.",
            )

    def _joined(self) -> Ended:
        """Return the result of the parts."""
        pages = tuple(page for part in self._parts for page in part.pages)
        model = self._parts[-1].head.model
        return Ended(
            # The images of the parts are stored.
            EngineResult(pages, {}, "local", model, len(pages)),
            sum(part.head.seconds for part in self._parts),
            None if self._is_complete else self._partial_warning(),
        )

    def _partial_warning(self) -> ConversionWarning:
        ranges, total = self._document.options.page_ranges, self._parts[0].head.total
        missing = list(page_numbers(ranges, self._done, total))
        detail = f"{missing[0]}" if len(missing) == 1 else f"{missing[0]} to {missing[-1]}"
        message = MESSAGES["partial_result"].format(detail=detail)
        return ConversionWarning("partial_result", message, tuple(missing[:MAX_WARNING_PAGES]))


class _RangeProgress(PageListener):
    """Progress of a range, which is a part of that of its document."""

    def __init__(
        self,
        conversion: RangedConversion,
        progress: Progress | None,
        first: int,
        total: int | None,
    ) -> None:
        self._conversion = conversion
        self._progress = progress
        self._first = first
        self._total = total

    def __call__(self, done: int, total: int) -> None:
        self._conversion.record_progress(done)
        if self._progress is not None:
            self._progress(self._first + done, self._total or self._first + total)

    def drafted(self, pages: Sequence[PageResult]) -> None:
        report_drafts(self._progress, pages)


TIME_CODES = frozenset({"time_budget", "timeout"})
"""Refusals after which the pages that are done are the result, if a part was asked for."""
