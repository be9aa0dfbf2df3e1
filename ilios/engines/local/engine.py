"""The local engine: converts documents on this machine, in child processes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from actors.engines import (
    Conversion,
    Password,
    Progress,
    SourceFile,
    Unconvertible,
    name_engine,
)
from actors.ports import Blobs, StorageUnavailable
from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.long_documents import LongDocuments
from ilios.engines.local.parts import PartStore
from ilios.engines.local.pool import Pool
from ilios.engines.local.process import TaskResult
from ilios.engines.local.protocol import (
    Converted,
    Counted,
    CountPages,
    Cut,
    CutPages,
    Refused,
    RemoveProtection,
    Task,
    ToMarkdown,
)
from ilios.engines.local.ranges import RangedConversion
from ilios.engines.page_images import image_ending, image_name, image_path, resolve_links
from ilios.engines.page_limits import ImageBudget, fit_pages
from ilios.engines.pages import ConvertedPage
from ilios.engines.results import CacheKey, EngineResult, ResultCache
from ilios.runtime.restarts import RestartHistory
from schemas.quality import measure, warnings_of
from schemas.results import PageImage, PageResult
from schemas.warnings import MAX_WARNINGS

ENGINE = "local"

MAX_REMEMBERED_PARTS = 10_000
"""Documents whose parts are remembered until they end; the parts of others are found as orphans."""


class PasswordSource(Protocol):
    """Finds passwords that were given with documents."""

    async def find(self, document: SourceFile) -> Password | None:
        """Return the password of a document, or None if none was given.

        :raises Unconvertible: ``password_required``, it cannot be read.
        """
        ...


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
        *,
        max_long_documents: int | None = None,
        passwords: PasswordSource | None = None,
    ) -> None:
        """Start nothing yet.

        :param staging_dir: a directory on the volume of the documents, made if it is missing, to
            link them into; None is the temporary directory, to which they are copied.
        :param passwords: asked for the password of a document that turns out to need one.
        :param blobs: stores the report on the pages and their images, and the finished ranges of
            long documents; without it a conversion has neither.
        :param max_long_documents: how many may be in work; None is any number.
        """
        self._passwords = passwords
        self._limits = limits or EngineLimits()
        self._pool = Pool(self._limits, staging_dir)
        self._blobs = blobs
        self._long = LongDocuments(max_long_documents, self._limits.processes)
        self._part_keys: dict[tuple[str, str], list[str]] = {}

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

        :raises EngineCrashed: no child can be started; the message has the reason.
        """
        await self._pool.check()

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        """Convert the selected pages of a document; wait for a free child first.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineCrashed: the child died or cannot work; it is already being replaced.
        :raises Postponed: it is long, and as many others are in work as may be.
        """
        if not registry.is_supported(document.content_type):
            raise registry.unsupported_type(document.content_type)
        unhashed = msgspec.structs.replace(document, sha256=None)
        name_engine(progress, ENGINE)

        async def run(task: ToMarkdown, verify: bool, report: Progress | None) -> TaskResult:  # noqa: FBT001  as RunTask
            return await self._run(document if verify else unhashed, task, report)

        blobs = self._blobs if document.document_id else None
        store = None
        if blobs is not None and document.sha256 is not None:
            store = PartStore(blobs, document)
        image_url = partial(image_path, document.document_id) if blobs is not None else None
        name = (document.tenant, document.document_id)
        keys = self._part_keys.setdefault(name, [])
        try:
            ranged = RangedConversion(
                document, run, partial(_assemble, image_url), self._limits, store, keys
            )
            ended = await ranged.convert(self._long, progress)
        finally:
            if not keys:
                self._part_keys.pop(name, None)
            while len(self._part_keys) > MAX_REMEMBERED_PARTS:
                del self._part_keys[next(iter(self._part_keys))]
        if blobs is None:
            conversion = _unstored(ended.result, ended.seconds)
        else:
            key = CacheKey.unique(document.tenant, document.document_id)
            conversion = await ResultCache(blobs, key).put(ended.result, ended.seconds)
        if ended.missing is None:
            return conversion
        warnings = (*conversion.warnings[: MAX_WARNINGS - 1], ended.missing)
        return msgspec.structs.replace(conversion, warnings=warnings, partial=True)

    async def discard_parts(self, document: SourceFile) -> None:
        """Delete the stored ranges of a document that has ended; its file may be gone.

        Those of a process that was killed are looked up: the document may have been deleted since,
        and then nothing of it should wait for the walk for orphans.
        """
        keys = self._part_keys.pop((document.tenant, document.document_id), [])
        if self._blobs is None:
            return
        with suppress(OSError, StorageUnavailable):  # found as orphans otherwise
            if document.may_be_repeated and not keys:
                store = PartStore(self._blobs, document)
                keys = [store.key(part.head.first) for part in await store.find()]
            # The last one first: the others are found only from the first one on.
            for key in reversed(keys):
                await self._blobs.delete(key)

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

    async def remove_protection(self, document: SourceFile) -> bytes:
        """Return a PDF as one that needs no password. Errors as ``cut_pages``."""
        answer = (await self._run(document, RemoveProtection())).outcome
        assert isinstance(answer, Cut)
        return answer.data

    async def _run(
        self,
        document: SourceFile,
        task: Task,
        progress: Progress | None = None,
    ) -> TaskResult:
        """Do a task, once more with the password if the document turns out to need one."""
        try:
            return await self._run_once(document, task, progress)
        except Unconvertible as refusal:
            asked = document.password is not None or self._passwords is None
            if refusal.code != "password_protected" or asked:
                raise
            assert self._passwords is not None
            password = await self._passwords.find(document)
            if password is None:
                raise
        return await self._run_once(
            msgspec.structs.replace(document, password=password), task, progress
        )

    async def _run_once(
        self,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None,
    ) -> TaskResult:
        done = await self._pool.run(document, task, progress)
        if isinstance(done.outcome, Refused):
            raise Unconvertible(done.outcome.code, _printable(done.outcome.reason))
        return done


def _unstored(result: EngineResult, seconds: float) -> Conversion:
    measures = [page.measures for page in result.pages]
    return Conversion(
        pages=tuple(page.markdown for page in result.pages),
        engine=ENGINE,
        model=result.model,
        seconds=seconds,
        warnings=warnings_of(measures),
        quality=measure(measures),
        details=result.pages,
    )


def _assemble(
    image_url: Callable[[str], str] | None, answer: Converted, budget: ImageBudget
) -> EngineResult:
    """Return the result with the images under their names, and links that lead to them.

    Without ``image_url`` the images are not stored, and there are no links to them.
    """
    answered = answer.pages
    if image_url is not None and any(page.image_bytes for page in answered):
        answered = fit_pages(answered, budget)
    images: dict[str, bytes] = {}
    pages = tuple(
        _name_images(page, images, image_url) if page.result.images else page.result
        for page in answered
    )
    return EngineResult(pages, images, ENGINE, answer.model, len(pages))


def _name_images(
    page: ConvertedPage, images: dict[str, bytes], image_url: Callable[[str], str] | None
) -> PageResult:
    shown: dict[str, PageImage] = {}
    for image in page.result.images:
        data = page.image_bytes.get(image.id, b"")
        ending = image_ending(data)
        name = None if ending is None or image_url is None else image_name(data, ending)
        if name is not None:
            images[name] = data
        shown[image.id] = msgspec.structs.replace(image, name=name)
    markdown = resolve_links(page.result.markdown, shown, {}, image_url or str)
    return msgspec.structs.replace(page.result, markdown=markdown, images=tuple(shown.values()))


def _printable(text: str) -> str:
    """Return a sentence with spaces in place of control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
