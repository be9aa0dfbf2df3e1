"""What the OCR actor needs of the world: engines, which make Markdown of documents."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from schemas.batches import EngineJobStatus
from schemas.documents import Blob, ModelVariant
from schemas.options import NO_OPTIONS, ConversionOptions, EngineName


class SourceFile(Struct, frozen=True):
    """A document as an engine gets it: a readable path and what is known of the bytes there.

    Somebody waits for an ``urgent`` one: an engine that is busy lets it go first. ``again`` tells
    that it may have been worked on before, so that paid work is looked for and not done anew.
    ``size`` is in bytes, if known.
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


class Conversion(Struct, frozen=True):
    """What an engine made of a document: the Markdown of each page, in page order.

    ``seconds`` is what the work took, without the wait for a free engine. The rest as with
    ``DocumentConverted``.
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


class Unconvertible(Exception):
    """The engine has judged the document: no other attempt will do better.

    ``code`` is one of the stable failure codes (``corrupt``, ``password_protected``,
    ``unsupported_type``, ``too_large``, ``too_many_pages``, ``timeout``, ``out_of_memory``,
    ``integrity``); ``reason`` is a sentence for the owner.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class EngineCrashed(Exception):
    """The engine died under the document; the document may or may not be to blame.

    ``blame`` is true when the death looks like the document's own doing (a native abort or
    segmentation fault) and false when something else ended the engine (a kill from outside).
    ``full`` is true when a volume had no room for the work, which passes; ``memory`` when the
    kernel ended the engine because the machine, or its cgroup, had no memory left.
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
    """The engine cannot work at the moment, whatever the document: try again ``after`` seconds.

    ``code`` and ``reason`` are for the owner, should it stay so.
    """

    def __init__(self, code: str, reason: str, *, retry_after: float) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class Engine(Protocol):
    """Makes Markdown of documents."""

    async def check(self) -> None:
        """Make sure that documents can be converted at the moment.

        :raises EngineCrashed: they cannot; the reason is for the operator.
        """
        ...

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        """Convert one document; ``progress(done, total)`` is called with page counts if given.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineCrashed: the engine died; it is already being replaced.
        :raises EngineUnavailable: it cannot work at the moment.
        """
        ...


class HeldDocument(Struct, frozen=True):
    """A document that waits for a batch of its engine's."""

    tenant: str
    document_id: str
    original: Blob
    content_type: str


class EngineJob(Struct, frozen=True, kw_only=True):
    """How far an engine's batch is. The counts are those of its requests."""

    id: str
    status: EngineJobStatus
    total: int = 0
    completed: int = 0
    failed: int = 0


class EngineBatches(Protocol):
    """An engine's own batches: cheaper, and later. ``name`` is what we call a batch.

    All of it may be done again after it was broken off; nothing is handed over twice.

    :raises EngineUnavailable: from each: it cannot work at the moment.
    :raises Unconvertible: from each: it refuses what it was asked.
    """

    async def submit(
        self, name: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> tuple[EngineJob | None, frozenset[str]]:
        """Hand documents over; returns the job, and the ids of those that cannot be part of it.

        There is no job if none can.
        """
        ...

    async def poll(self, job: str) -> EngineJob | None:
        """Return how far a job is; None for one that is not there any more."""
        ...

    def results(
        self, job: str, documents: Sequence[HeldDocument], options: ConversionOptions
    ) -> AsyncIterator[tuple[str, Conversion]]:
        """Return what has become of documents, by their ids; those that failed are left out."""
        ...

    async def cancel(self, job: str) -> None:
        """Ask a job to stop, for nobody waits for it any more."""
        ...

    async def delete(self, name: str, job: str) -> None:
        """Delete all that lies at the engine for a job that has ended."""
        ...


PAGE_SEPARATOR = "\n\n---\n\n"
"""Stands between the Markdown of two pages."""
