"""Bodies of requests on the bus: JSON objects with the members of events, or the names of ids.

Their answers are those of HTTP, in ``schemas.replies`` and ``schemas.usage_replies``.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from .batches import MAX_BATCH_DOCUMENTS, BatchId
from .documents import (
    DEFAULT_CONTENT_TYPE,
    DEFAULT_PRIORITY,
    DEFAULT_RETENTION_DAYS,
    ContentType,
    DocumentId,
    FileName,
    Priority,
    RetentionDays,
    Source,
    Tenant,
)
from .labels import METADATA_EXPECTED, NO_LABELS, Labels, Metadata, check_metadata
from .options import NO_OPTIONS, ConversionOptions
from .requests import PasswordMember, ReferenceMember, Wait

_PRIORITY = Meta(
    description="10 is the most urgent.", extra={"expected": "a whole number from 1 to 10"}
)
_RETENTION = Meta(
    description="How many days the document is stored.",
    extra={"expected": "a whole number from 1 to 3650"},
)
_OPTIONS = Meta(
    description="The options of the conversion.", extra={"expected": "an object of options"}
)
_TENANT = Meta(
    description="The tenant of the subject; it may be left out.",
    extra={"expected": "the tenant of the subject"},
)
_SOURCE = Meta(
    description="The document: its bytes, its address, or its name in the bucket of the tenant.",
    extra={
        "expected": 'an object with the kind "inline" and its data in base64, at most 512 KiB of '
        'document, with the kind "url" and its url, or with the kind "object" and its name'
    },
)
_DOCUMENT_ID = Meta(extra={"expected": "20 to 30 characters of a-z and 0-9"})
_FILE_NAME = Meta(
    description="The name of the document.", extra={"expected": "text of 1 to 255 characters"}
)
_CONTENT_TYPE = Meta(extra={"expected": "text of at most 255 characters"})
_SUBMITTED_AT = Meta(
    description="When it was submitted; used if it is within a day of the clock of the service.",
    extra={"expected": "a time as in RFC 3339, in the years 1970 to 2199"},
)


_DEADLINE = Meta(
    description="When the document must be converted at the latest; after it the document fails "
    "as `expired` and is not billed.",
    extra={"expected": "a time as in RFC 3339, which lies ahead, before the year 2200"},
)
_METADATA = Meta(
    description="A JSON object of your own, returned everywhere as `clientMetadata` and not "
    "interpreted.",
    extra={"expected": METADATA_EXPECTED},
)


class Labelled(Struct, frozen=True, kw_only=True):
    """What a client attaches to its submission for itself."""

    reference: ReferenceMember = None
    metadata: Annotated[Metadata | None, _METADATA] = None

    def __post_init__(self) -> None:
        """Reject metadata out of bounds.

        :raises ValueError: with a sentence for the client.
        """
        check_metadata(self.metadata)

    @property
    def labels(self) -> Labels:
        """The reference and the metadata."""
        if self.reference is None and self.metadata is None:
            return NO_LABELS
        return Labels(reference=self.reference, metadata=self.metadata)


class TenantRequest(Struct, frozen=True, kw_only=True):
    """A request of one tenant."""

    tenant: Annotated[Tenant | None, _TENANT] = None


class SubmissionRequest(Labelled, frozen=True, kw_only=True):
    """What documents and batches that are submitted have in common."""

    tenant: Annotated[Tenant | None, _TENANT] = None
    retention_days: Annotated[RetentionDays, _RETENTION] = DEFAULT_RETENTION_DAYS
    options: Annotated[ConversionOptions, _OPTIONS] = NO_OPTIONS
    submitted_at: Annotated[datetime | None, _SUBMITTED_AT] = None
    deadline: Annotated[datetime | None, _DEADLINE] = None
    password: PasswordMember = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class SubmitDocument(SubmissionRequest, frozen=True, kw_only=True):
    """A document to be converted: the members of ``document.submitted/1`` without ``type``.

    Without ``document_id`` the service chooses one.
    """

    source: Annotated[Source, _SOURCE]
    document_id: Annotated[DocumentId | None, _DOCUMENT_ID] = None
    priority: Annotated[Priority, _PRIORITY] = DEFAULT_PRIORITY
    file_name: Annotated[FileName | None, _FILE_NAME] = None
    content_type: Annotated[ContentType, _CONTENT_TYPE] = DEFAULT_CONTENT_TYPE


class BatchItem(Labelled, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document of a batch. Its ``document_id`` begins with the ``batch_id`` and is longer."""

    source: Annotated[Source, _SOURCE]
    document_id: Annotated[DocumentId | None, _DOCUMENT_ID] = None
    file_name: Annotated[FileName | None, _FILE_NAME] = None
    content_type: Annotated[ContentType, _CONTENT_TYPE] = DEFAULT_CONTENT_TYPE
    password: PasswordMember = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class SubmitBatch(SubmissionRequest, frozen=True, kw_only=True):
    """Documents to be converted together: the members of ``batch.submitted/1`` without ``type``.

    Without ``batch_id`` the service chooses it, and the ids of the documents.
    """

    documents: Annotated[
        list[BatchItem],
        Meta(
            min_length=1,
            max_length=MAX_BATCH_DOCUMENTS,
            extra={"expected": f"a list of 1 to {MAX_BATCH_DOCUMENTS} documents"},
        ),
    ]
    batch_id: Annotated[
        BatchId | None, Meta(extra={"expected": "20 to 27 characters of a-z and 0-9"})
    ] = None
    priority: Annotated[Priority, _PRIORITY] = DEFAULT_PRIORITY
    engine_batch: Annotated[
        bool,
        Meta(
            description="Whether Mistral converts them as one batch of its own, which costs less "
            "and takes longer.",
            extra={"expected": "true or false"},
        ),
    ] = False


class DocumentReference(TenantRequest, frozen=True, kw_only=True):
    """A document that was submitted."""

    document_id: Annotated[str, Meta(extra={"code": "invalid_id", "expected": "an id"})]


class DocumentStatusRequest(DocumentReference, frozen=True, kw_only=True):
    """A document whose state is wanted."""

    wait: Wait = 0


class BatchReference(TenantRequest, frozen=True, kw_only=True):
    """A batch that was submitted; ``details`` adds each of its documents."""

    batch_id: Annotated[str, Meta(extra={"code": "invalid_id", "expected": "an id"})]
    details: Annotated[bool, Meta(extra={"expected": "true or false"})] = False
    wait: Wait = 0


class PagesRequest(DocumentReference, frozen=True, kw_only=True):
    """A document whose pages are wanted, also while it is converted."""

    since: Annotated[
        int,
        Meta(
            ge=0,
            le=2**62,
            description="The `until` of the last answer: only pages that are new or changed "
            "follow. When the document has ended, all pages follow once more.",
            extra={"expected": "the until of the last answer"},
        ),
    ] = 0


_DATE = {"code": "invalid_date", "expected": "a date or a time as text"}


class UsageRequest(TenantRequest, frozen=True, kw_only=True):
    """The time whose usage is summed up, both ends included; ``breakdown`` sums by operation."""

    start_date: Annotated[str | None, Meta(extra=_DATE)] = None
    end_date: Annotated[str | None, Meta(extra=_DATE)] = None
    breakdown: Annotated[bool, Meta(extra={"expected": "true or false"})] = False
