"""Interface of the engines, which convert documents to Markdown."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from schemas.batches import EngineJobStatus
from schemas.documents import Blob, ModelVariant
from schemas.options import NO_OPTIONS, ConversionOptions, EngineName
from schemas.quality import ConversionWarnings, Quality
from schemas.results import PageResult


class Password(Struct, frozen=True):
    """The password of a document; its ``repr`` is ``***``."""

    text: str

    def __repr__(self) -> str:
        return "***"


class SourceFile(Struct, frozen=True):
    """A document to convert: a readable path and the properties of the file.

    A busy engine converts ``urgent`` documents first. ``may_be_repeated`` is true if the document
    may have been converted before, so that the engine looks for paid results. ``size`` is in bytes,
    None if unknown. Without a ``password`` an engine looks for a stored one where it needs it.
    """

    path: Path
    content_type: str
    sha256: str | None = None
    urgent: bool = False
    tenant: str = ""
    document_id: str = ""
    options: ConversionOptions = NO_OPTIONS
    may_be_repeated: bool = False
    size: int | None = None
    password: Password | None = None


class Conversion(Struct, frozen=True):
    """The result of a conversion: the Markdown of each page, in page order.

    ``seconds`` is the time of the work without the wait for a free engine. A ``partial`` one lacks
    the last pages. ``markdown`` is None unless it is stored already. ``details`` are the reports on
    the pages where they are not stored as ``result``. The rest as with ``DocumentConverted``.
    """

    pages: tuple[str, ...]
    engine: str
    model: str
    seconds: float
    input_tokens: int = 0
    output_tokens: int = 0
    result: Blob | None = None
    billed_pages: int | None = None
    variant: ModelVariant = "plain"
    fallback_from: EngineName | None = None
    warnings: ConversionWarnings = ()
    quality: Quality | None = None
    partial: bool = False
    markdown: Blob | None = None
    details: tuple[PageResult, ...] = ()


class Unconvertible(Exception):
    """The engine cannot convert the document, and no other attempt would succeed.

    ``code`` is one of the stable failure codes (``corrupt``, ``password_protected``,
    ``password_incorrect``, ``password_required``, ``unsupported_type``, ``too_large``,
    ``too_many_pages``, ``timeout``, ``time_budget``, ``out_of_memory``, ``integrity``);
    ``reason`` is a sentence for the owner.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class EngineCrashed(Exception):
    """The engine process ended during the conversion.

    ``document_blamed`` is true if the document seems to be the cause (a native abort or
    segmentation fault), false if the process was killed from outside. ``disk_full`` is true if a
    volume had no room for the work, ``out_of_memory`` if the kernel ended the process because the
    machine or its cgroup had no memory left.
    """

    def __init__(
        self,
        reason: str,
        *,
        document_blamed: bool,
        disk_full: bool = False,
        out_of_memory: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.document_blamed = document_blamed
        self.disk_full = disk_full
        self.out_of_memory = out_of_memory


class EngineUnavailable(Exception):
    """The engine cannot convert any document at the moment; retry after ``retry_after`` seconds.

    ``code`` and ``reason`` are for the owner if it stays unavailable. ``refused`` is true where the
    operator has to act, as for a key that is not accepted.
    """

    def __init__(
        self, code: str, reason: str, *, retry_after: float, refused: bool = False
    ) -> None:
        super().__init__(reason)
        self.refused = refused
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class Postponed(Exception):
    """Other documents go first; the work that was done is stored. Retry after so many seconds."""

    def __init__(self, reason: str, *, retry_after: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


Progress = Callable[[int, int], None]
"""Called with the number of pages that are done and of those that are selected."""


class PageListener(ABC):
    """Progress of a conversion, with drafts of its pages. Its methods neither block nor raise.

    ``engine`` is the name of the engine that converts, once that is decided. Drafts need not be
    made for one that ``wants_drafts`` not.
    """

    engine: str = ""
    wants_drafts: bool = True

    @abstractmethod
    def __call__(self, done: int, total: int) -> None:
        """Take the number of pages that are done, and of those that are selected."""

    @abstractmethod
    def drafted(self, pages: Sequence[PageResult]) -> None:
        """Take pages as they look before the others are done; later ones replace them."""


def name_engine(progress: Progress | None, engine: str) -> None:
    """Name the engine that converts to a listener, if it is one."""
    if isinstance(progress, PageListener):
        progress.engine = engine


def wants_drafts(progress: Progress | None) -> bool:
    """Whether drafts of pages are of use."""
    return isinstance(progress, PageListener) and progress.wants_drafts


def report_drafts(progress: Progress | None, pages: Sequence[PageResult]) -> None:
    """Hand drafts of pages to a listener, if it is one."""
    if isinstance(progress, PageListener):
        progress.drafted(pages)


class Engine(Protocol):
    """Converts documents to Markdown."""

    async def check(self) -> None:
        """Check that documents can be converted at the moment.

        :raises EngineCrashed: they cannot; the reason is for the operator.
        """
        ...

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        """Convert one document; ``progress`` may be a ``PageListener``.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineCrashed: the engine died; it is already being replaced.
        :raises EngineUnavailable: it cannot work at the moment.
        :raises Postponed: it is converted further when other long documents have ended.
        """
        ...


class HeldDocument(Struct, frozen=True):
    """A document that waits for a batch of its engine."""

    tenant: str
    document_id: str
    original: Blob
    content_type: str


class EngineJob(Struct, frozen=True, kw_only=True):
    """The state of a batch at an engine. The counts are those of its requests."""

    id: str
    status: EngineJobStatus
    total: int = 0
    completed: int = 0
    failed: int = 0


class EngineBatches(Protocol):
    """Batches of an engine, which cost less and take longer. ``name`` is our name of a batch.

    Every call may be repeated after an interruption; nothing is submitted twice.

    :raises EngineUnavailable: by every method: it cannot work at the moment.
    :raises Unconvertible: by every method: it refuses the request.
    """

    async def submit(
        self, name: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> tuple[EngineJob | None, frozenset[str]]:
        """Submit documents; returns the job, and the ids of documents that cannot be part of it.

        There is no job without any other document.
        """
        ...

    async def poll(self, job: str) -> EngineJob | None:
        """Return the state of a job; None if it no longer exists."""
        ...

    def results(
        self, job: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> AsyncIterator[tuple[str, Conversion]]:
        """Yield the conversions of documents by id, without those that failed."""
        ...

    async def cancel(self, job: str) -> None:
        """Ask the engine to stop a job."""
        ...

    async def delete(self, name: str, job: str) -> None:
        """Delete the data at the engine of a job that has ended."""
        ...


PAGE_SEPARATOR = "\n\n---\n\n"
"""Stands between the Markdown of two pages."""
