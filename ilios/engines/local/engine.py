"""The local engine: converts documents on this machine, in child processes."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from actors.engines import Conversion, SourceFile, Unconvertible
from actors.ports import Blobs, StorageUnavailable
from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.long_documents import LongDocuments
from ilios.engines.local.page_store import PageStore
from ilios.engines.local.parts import PartStore
from ilios.engines.local.pool import Pool
from ilios.engines.local.process import TaskResult
from ilios.engines.local.protocol import (
    Counted,
    CountPages,
    Cut,
    CutPages,
    Refused,
    Task,
    ToMarkdown,
)
from ilios.engines.local.ranges import Progress, RangedConversion
from ilios.runtime.restarts import RestartHistory

MAX_REMEMBERED_PARTS = 10_000
"""Documents whose parts are remembered until they end; the parts of others are found as orphans."""


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
        *,
        blobs: Blobs | None = None,
        max_long_documents: int | None = None,
    ) -> None:
        """Start nothing yet.

        :param staging_dir: a directory on the volume of the documents, made if it is missing, to
            link them into; None is the temporary directory, to which they are copied.
        :param blobs: stores the report on pages, their images, and the finished ranges of long
            documents; None keeps ranges in memory, and there are no images.
        :param max_long_documents: how many may be in work; None is any number.
        """
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

        :raises EngineCrashed: no child can be started; the reason says why.
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

        async def run(task: ToMarkdown, verify: bool, report: Progress | None) -> TaskResult:  # noqa: FBT001  as RunTask
            return await self._run(document if verify else unhashed, task, report)

        store = None
        if self._blobs is not None and document.sha256 is not None:
            store = PartStore(self._blobs, document)
        name = (document.tenant, document.document_id)
        keys = self._part_keys.setdefault(name, [])
        try:
            pages = PageStore(self._blobs, document)
            ranged = RangedConversion(document, run, self._limits, pages, store, keys)
            return await ranged.convert(self._long, progress)
        finally:
            if not keys:
                self._part_keys.pop(name, None)
            while len(self._part_keys) > MAX_REMEMBERED_PARTS:
                del self._part_keys[next(iter(self._part_keys))]

    async def discard_parts(self, tenant: str, document_id: str) -> None:
        """Delete the stored ranges of a document that has ended."""
        blobs = self._blobs
        for key in self._part_keys.pop((tenant, document_id), ()):
            with suppress(OSError, StorageUnavailable):  # found as orphans otherwise
                if blobs is not None:
                    await blobs.delete(key)

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
        progress: Progress | None = None,
    ) -> TaskResult:
        done = await self._pool.run(document, task, progress)
        if isinstance(done.outcome, Refused):
            raise Unconvertible(done.outcome.code, _printable(done.outcome.reason))
        return done


def _printable(text: str) -> str:
    """Return a sentence with spaces in place of control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
