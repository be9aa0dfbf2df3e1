"""The local engine: converts documents on this machine, in child processes."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from actors.engines import Conversion, SourceFile, Unconvertible
from actors.ports import Blobs
from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.pool import Pool
from ilios.engines.local.process import TaskResult
from ilios.engines.local.protocol import (
    Converted,
    Counted,
    CountPages,
    Cut,
    CutPages,
    Refused,
    Task,
    ToMarkdown,
)
from ilios.engines.page_images import image_ending, image_name, image_path, resolve_links
from ilios.engines.pages import ConvertedPage
from ilios.engines.results import CacheKey, EngineResult, ResultCache
from ilios.runtime.restarts import RestartHistory
from schemas.quality import measure, warnings_of
from schemas.results import PageImage, PageResult

ENGINE = "local"


class LocalEngine:
    """Converts in sandboxed child processes, so that a hostile file harms no other document.

    An async context manager: leaving it kills the children, also those at work. No parser library
    is imported into this process.

    Enter it in a thread that lives as long as the engine: the kernel ends the children with the
    thread that started them.
    """

    def __init__(
        self,
        limits: EngineLimits | None = None,
        staging_dir: Path | None = None,
        blobs: Blobs | None = None,
    ) -> None:
        """Start nothing yet.

        :param staging_dir: a directory on the volume of the documents, made if it is missing, to
            link them into; None is the temporary directory, to which they are copied.
        :param blobs: stores the report on the pages and their images; without it a conversion has
            neither.
        """
        self._blobs = blobs
        self._pool = Pool(limits or EngineLimits(), staging_dir)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.close()

    @property
    def child_pids(self) -> frozenset[int]:
        """Process ids of the children."""
        return self._pool.pids

    @property
    def restarts(self) -> RestartHistory:
        """History of lost children and failed starts."""
        return self._pool.restarts

    @property
    def sandbox_gaps(self) -> tuple[str, ...]:
        """A sentence for each part of the sandbox that the newest child lacks."""
        return self._pool.sandbox_gaps

    async def check(self) -> None:
        """Make sure that documents can be converted; the first check starts the first child.

        :raises EngineCrashed: no child can be started; the reason says why.
        """
        await self._pool.check()

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        """Convert the selected pages of a document; wait for a free child first.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineCrashed: the child died or cannot work; it is already being replaced.
        """
        if not registry.is_supported(document.content_type):
            raise registry.unsupported_type(document.content_type)
        done = await self._run(document, ToMarkdown(document.options.page_ranges), progress)
        answer = done.outcome
        assert isinstance(answer, Converted)
        if self._blobs is None or not document.document_id:
            return _unstored(answer, done.seconds)
        result = _named_images(answer, partial(image_path, document.document_id))
        key = CacheKey.unique(document.tenant, document.document_id)
        return await ResultCache(self._blobs, key).put(result, done.seconds)

    async def count_pages(self, document: SourceFile) -> int:
        """Return how many pages a document has. Errors as ``convert``."""
        answer = (await self._run(document, CountPages())).outcome
        assert isinstance(answer, Counted)
        return answer.pages

    async def cut_pages(self, document: SourceFile, indices: Sequence[int]) -> bytes:
        """Return pages of a PDF, counted from 0, as another PDF.

        Errors as ``convert``; ``too_large``: it would exceed ``max_output_bytes``.
        """
        answer = (await self._run(document, CutPages(tuple(indices)))).outcome
        assert isinstance(answer, Cut)
        return answer.data

    async def _run(
        self,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None = None,
    ) -> TaskResult:
        done = await self._pool.run(document, task, progress)
        if isinstance(done.outcome, Refused):
            raise Unconvertible(done.outcome.code, _printable(done.outcome.reason))
        return done


def _unstored(answer: Converted, seconds: float) -> Conversion:
    """Return a conversion without links to images, which are not stored."""
    pages = [
        resolve_links(page.result.markdown, {one.id: one for one in page.result.images}, {}, str)
        if page.result.images
        else page.result.markdown
        for page in answer.pages
    ]
    measures = [page.result.measures for page in answer.pages]
    return Conversion(
        pages=tuple(pages),
        engine=ENGINE,
        model=answer.model,
        seconds=seconds,
        warnings=warnings_of(measures),
        quality=measure(measures),
    )


def _named_images(answer: Converted, image_url: Callable[[str], str]) -> EngineResult:
    """Return the result with the images under their names, and links that lead to them."""
    images: dict[str, bytes] = {}
    pages = tuple(
        _name_images(page, images, image_url) if page.result.images else page.result
        for page in answer.pages
    )
    return EngineResult(pages, images, ENGINE, answer.model, len(pages))


def _name_images(
    page: ConvertedPage, images: dict[str, bytes], image_url: Callable[[str], str]
) -> PageResult:
    shown: dict[str, PageImage] = {}
    for image in page.result.images:
        data = page.image_bytes.get(image.id, b"")
        ending = image_ending(data)
        name = None if ending is None else image_name(data, ending)
        if name is not None:
            images[name] = data
        shown[image.id] = msgspec.structs.replace(image, name=name)
    markdown = resolve_links(page.result.markdown, shown, {}, image_url)
    return msgspec.structs.replace(page.result, markdown=markdown, images=tuple(shown.values()))


def _printable(text: str) -> str:
    """Return a sentence with spaces in place of control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
