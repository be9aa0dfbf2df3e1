"""Events about documents. Every event is a fact in the past tense and never changes.

The ``type`` member carries the kind of event and its version (``document.submitted/1``), so the
wire never depends on a Python module path. A new version of an event is a new class with a new tag;
a field added to an existing one needs a default.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr

from .labels import Metadata, Reference, check_metadata
from .options import NO_OPTIONS, ConversionOptions, EngineName, Model, fill_options
from .quality import ConversionWarnings, Quality

EXPIRED = "expired"
"""The code of a document that was not converted by its deadline."""

MAX_CLOCK_SKEW = timedelta(days=1)
"""Between the clock of a publisher and that of the log; more is a mistake."""
MIN_YEAR, MAX_YEAR = 1970, 2199
"""Years in which a submission can have been made."""


def is_implausible(time: datetime) -> bool:
    """Whether a time lies outside the years in which a submission can have been made."""
    return not MIN_YEAR <= time.year <= MAX_YEAR


def reject_implausible(name: str, time: datetime | None) -> None:
    """Raise for an implausible time of the member ``name``.

    :raises ValueError: with a sentence for the publisher.
    """
    if time is not None and is_implausible(time):
        raise ValueError(
            f"{name} is in the year {time.year}; leave it out, or give a time in the years "
            f"{MIN_YEAR} to {MAX_YEAR}"
        )


def effective_time(time: datetime | None, stored_at: datetime) -> datetime:
    """Return when an event that the log stored at ``stored_at`` was submitted.

    This is the time of the publisher if it is within ``MAX_CLOCK_SKEW``; without a zone it is UTC.
    """
    if time is None:
        return stored_at
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return aware if abs(aware - stored_at) < MAX_CLOCK_SKEW else stored_at


MAX_INLINE_BYTES = 512 * 1024
"""Most bytes a submission may carry in itself; base64 makes them 4/3 as many on the wire."""

DocumentId = Annotated[str, Meta(pattern=r"^[a-z0-9]{20,30}\Z")]
Tenant = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z")]
Priority = Annotated[int, Meta(ge=1, le=10)]
RetentionDays = Annotated[int, Meta(ge=1, le=3650)]
FileName = Annotated[str, Meta(min_length=1, max_length=255)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
ObjectName = Annotated[str, Meta(min_length=1, max_length=255)]
ObjectDigest = Annotated[str, Meta(pattern=r"^SHA-256=[A-Za-z0-9_-]{43}=?\Z")]
KeySuffix = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}\Z")]
Size = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""Bytes, up to the largest integer that every JSON reader represents exactly."""
Pages = Annotated[int, Meta(ge=0, le=1_000_000)]
Tokens = Annotated[int, Meta(ge=0, le=10**12)]
"""The limit is far above real values, so that sums stay below 64 bits."""
ContentType = Annotated[str, Meta(max_length=255)]
DetectedType = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*\Z", max_length=127)
]
Requeues = Annotated[int, Meta(ge=0, le=1000)]
Operation = Literal["convert", "convert-immediate"]
ModelVariant = Literal["plain", "batch", "annotated"]
"""How a model was used, which affects the price: as usual, in batches of the engine, annotated."""
RemovalCause = Literal["requested", "expired"]

MAX_ENGINE_SECONDS = 10_000_000.0
"""Four months: more than any conversion takes."""

DEFAULT_PRIORITY = 5
IMMEDIATE_PRIORITY = 10
DEFAULT_RETENTION_DAYS = 365
DEFAULT_CONTENT_TYPE = "application/octet-stream"


def clamp_seconds(seconds: float) -> float:
    """Return the seconds of a conversion as a number that can be stored and encoded."""
    return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), MAX_ENGINE_SECONDS)


class _HasOptions(Protocol):
    @property
    def options(self) -> ConversionOptions: ...
    @property
    def former_engine(self) -> EngineName | None: ...
    @property
    def former_model(self) -> Model | None: ...


def fold_former_members(event: _HasOptions) -> None:
    """Move ``former_engine`` and ``former_model`` of a new event into its ``options``."""
    if event.former_engine is None and event.former_model is None:
        return
    options = fill_options(event.options, event.former_engine, event.former_model)
    assert isinstance(event, Struct)
    force_setattr(event, "options", options)
    force_setattr(event, "former_engine", None)
    force_setattr(event, "former_model", None)


class Blob(Struct, frozen=True):
    """A reference to bytes in the blob store, with their size and digest."""

    key: str
    size: Size
    sha256: Sha256


class Stored(Struct, frozen=True, tag_field="kind", tag="stored", omit_defaults=True):
    """Bytes that are already in the blob store under the key of the document.

    ``suffix`` ends that key, so that two uploads with one id never share a blob. ``detected`` is
    the content type that the publisher found in the bytes themselves.
    """

    size: Size
    sha256: Sha256
    suffix: KeySuffix | None = None
    detected: DetectedType | None = None


class Inline(Struct, frozen=True, tag_field="kind", tag="inline"):
    """Bytes in the event itself, base64 encoded, at most ``MAX_INLINE_BYTES``."""

    data: Annotated[bytes, Meta(max_length=MAX_INLINE_BYTES)]


class Remote(Struct, frozen=True, tag_field="kind", tag="url"):
    """Bytes to be fetched from a public http or https address."""

    url: Annotated[str, Meta(min_length=1, max_length=2048)]


class Object(Struct, frozen=True, tag_field="kind", tag="object", omit_defaults=True):
    """Bytes in the bucket of the tenant on the bus, put there before as an object.

    ``digest`` is that of the object, in the form in which object stores give it; with it another
    object that was put under the name since is refused. Workers of version 0.2 do not
    have this kind: to them the event is invalid.
    """

    name: ObjectName
    digest: ObjectDigest | None = None


Source = Stored | Inline | Remote | Object


class DocumentEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Members of every event about a document; ``tenant`` and ``document_id`` identify it together.

    ``requeues`` is how often the document had failed and was requeued by an operator. Only events
    with more requeues than a failure have an effect after it.
    """

    document_id: DocumentId
    tenant: Tenant = "default"
    priority: Priority = DEFAULT_PRIORITY
    requeues: Requeues = 0


class LabelledEvent(DocumentEvent, frozen=True, kw_only=True):
    """An event that carries what the client attached to the document for itself."""

    reference: Reference | None = None
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        """Reject metadata out of bounds.

        :raises ValueError: with a sentence for the publisher.
        """
        check_metadata(self.metadata)


class ConversionEvent(LabelledEvent, frozen=True, kw_only=True):
    """An event from which a document is converted, with the options of the conversion.

    A document that is ``held`` waits for a batch of its engine. One that is not converted by its
    ``deadline`` fails; a requeued one has none any more.

    Former versions have no ``options``, but ``engine`` and ``model`` beside the other members.
    Those are still read (``options`` wins where both name one) and are None afterwards;
    ``bus.codec`` writes them for workers of those versions.
    """

    options: ConversionOptions = NO_OPTIONS
    former_engine: EngineName | None = field(default=None, name="engine")
    former_model: Model | None = field(default=None, name="model")
    held: bool = False
    deadline: datetime | None = None

    def __post_init__(self) -> None:
        """Move the members of former versions into ``options``; reject what no publisher can mean.

        :raises ValueError: with a sentence for the publisher.
        """
        fold_former_members(self)
        check_metadata(self.metadata)
        reject_implausible("deadline", self.deadline)


def effective_deadline(event: ConversionEvent) -> datetime | None:
    """Return the time by which the document must be converted, UTC without a zone; or None."""
    if event.deadline is None or event.requeues:
        return None
    return event.deadline if event.deadline.tzinfo else event.deadline.replace(tzinfo=UTC)


class DocumentSubmitted(ConversionEvent, frozen=True, kw_only=True, tag="document.submitted/1"):
    """A document was submitted for conversion.

    Without ``submitted_at`` the time counts at which the log stored the event. ``fingerprint``
    distinguishes a repeated request from another one with the same idempotency key.
    """

    source: Source
    file_name: FileName = "document"
    content_type: ContentType = DEFAULT_CONTENT_TYPE
    retention_days: RetentionDays = DEFAULT_RETENTION_DAYS
    operation: Operation = "convert"
    submitted_at: datetime | None = None
    fingerprint: Sha256 | None = None

    def __post_init__(self) -> None:
        """Reject a time that no publisher can mean, and metadata out of bounds.

        :raises ValueError: with a sentence for the publisher.
        """
        fold_former_members(self)
        check_metadata(self.metadata)
        reject_implausible("deadline", self.deadline)
        reject_implausible("submitted_at", self.submitted_at)

    @property
    def detected(self) -> str | None:
        """Content type of an original that is stored and can be converted as it is, or None.

        One that waits for a batch of its engine is fetched first, whatever its publisher detected.
        """
        return self.source.detected if isinstance(self.source, Stored) and not self.held else None


class DocumentFetched(ConversionEvent, frozen=True, kw_only=True, tag="document.fetched/1"):
    """The original is in the blob store and its type was found from its content.

    One that is ``held`` is converted by a batch of its engine, or published again without it.
    """

    original: Blob
    content_type: str


class DocumentConverted(DocumentEvent, frozen=True, kw_only=True, tag="document.converted/1"):
    """The document was converted, and its Markdown is in the blob store.

    ``seconds`` is the time the engine took; tokens are estimated where an engine does not count
    them. ``result`` is what the engine reports of each page besides Markdown, as JSON Lines. An
    engine may bill another number of pages than ``pages`` (``billed_pages``). ``fallback_from`` is
    the engine that was asked for and could not convert the document. ``warnings`` are about what a
    reader sees and the Markdown lacks; without ``quality`` it was not measured. A ``partial`` one
    lacks the last pages, of which it has none in ``pages``.
    """

    markdown: Blob
    pages: Pages
    engine: str
    model: str
    seconds: float
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    result: Blob | None = None
    billed_pages: Pages | None = None
    variant: ModelVariant = "plain"
    fallback_from: EngineName | None = None
    warnings: ConversionWarnings = ()
    quality: Quality | None = None
    partial: bool = False


class DocumentCompleted(LabelledEvent, frozen=True, kw_only=True, tag="document.completed/1"):
    """The conversion and its usage are committed: the document can be read and is billed.

    ``result``, ``fallback_from``, ``warnings``, ``quality`` and ``partial`` as with
    ``DocumentConverted``.
    """

    file_name: str
    content_type: str
    original: Blob
    markdown: Blob
    pages: int
    engine: str
    model: str
    seconds: float
    input_tokens: int
    output_tokens: int
    submitted_at: datetime
    completed_at: datetime
    result: Blob | None = None
    fallback_from: EngineName | None = None
    warnings: ConversionWarnings = ()
    quality: Quality | None = None
    partial: bool = False


class DocumentFailed(LabelledEvent, frozen=True, kw_only=True, tag="document.failed/1"):
    """The document could not be converted; ``reason`` is a sentence for its owner."""

    code: str
    reason: str
    retryable: bool = False
    attempts: int = 1


class DocumentRejected(LabelledEvent, frozen=True, kw_only=True, tag="document.rejected/1"):
    """A submission on the log is no valid event, and no valid one of this id came before.

    ``sequence`` is its position on the log; ``reason`` is a sentence for its publisher. A valid
    submission with the same id takes effect later.
    """

    sequence: int
    reason: str
    code: str = "invalid_event"


class DocumentCancelled(LabelledEvent, frozen=True, kw_only=True, tag="document.cancelled/1"):
    """The owner cancelled an unfinished document.

    If it was completed in the meantime, it is deleted.
    """


class DocumentArchived(DocumentEvent, frozen=True, kw_only=True, tag="document.archived/1"):
    """The retention of the document is over and its original was moved to the archive.

    The Markdown stays where it is. ``original`` is None where there was no original.
    """

    original: Blob | None = None


class DocumentDeleted(DocumentEvent, frozen=True, kw_only=True, tag="document.deleted/1"):
    """The document was deleted: its bytes are erased, its row and usage stay as a receipt."""

    cause: RemovalCause = "requested"


AnyDocumentEvent = (
    DocumentSubmitted
    | DocumentFetched
    | DocumentConverted
    | DocumentCompleted
    | DocumentFailed
    | DocumentRejected
    | DocumentCancelled
    | DocumentArchived
    | DocumentDeleted
)
