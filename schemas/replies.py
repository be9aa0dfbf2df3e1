"""What clients get to read. Members are camelCase, times ISO 8601 in UTC with milliseconds.

A member without a value is left out, unless its description says otherwise.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from .options import EngineName
from .results import PageResult
from .states import DocumentState

Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time as replies carry it: ``2026-01-15T10:30:00.000Z``."""


def format_instant(time: datetime) -> Instant:
    """Return a time as replies carry it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class Problem(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why a request was not served (RFC 9457, ``application/problem+json``).

    ``code`` is stable and meant for programs. ``error`` is the same sentence as ``detail``, under
    the name clients of ilios have always read. ``details`` holds figures some errors come with,
    ``id`` the document the error is about.
    """

    type: str = field(default_factory=lambda: "about:blank")
    title: str
    status: int
    detail: str
    error: str
    code: str
    instance: str
    request_id: str
    details: dict[str, Any] | None = None
    id: str | None = None


class Submitted(Struct, frozen=True, kw_only=True, rename="camel"):
    """The document is accepted; ``fileSize`` is left out where it is yet to be fetched."""

    id: str
    status: DocumentState
    file_name: str
    file_size: int | UnsetType = UNSET
    retention_days: int
    created_at: Instant
    status_url: str


class StatusMetadata(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the conversion took: milliseconds in the engine, pages, and what did it.

    ``fallback_from`` names the engine that was wanted and could not do it.
    """

    pages: int | None = None
    processing_time_ms: int | None = None
    model: str | None = None
    engine: str | None = None
    fallback_from: EngineName | None = None


class DocumentStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How far a document is. ``error`` and ``code`` give the reason why it failed or was cancelled.

    ``archived_at`` and ``deleted_at`` are there once it has outlived its retention, and once it is
    no longer stored.
    """

    id: str
    status: DocumentState
    file_name: str
    file_size: int | None = None
    created_at: Instant | None = None
    processed_at: Instant | None = None
    archived_at: Instant | None = None
    deleted_at: Instant | None = None
    metadata: StatusMetadata | None = None
    download_url: str | None = None
    error: str | None = None
    code: str | None = None
    retryable: bool | None = None


class Unfinished(Struct, frozen=True, kw_only=True, rename="camel"):
    """There is no Markdown yet; ask ``status_url`` again."""

    id: str
    status: DocumentState
    status_url: str


class FailedDocument(Struct, frozen=True, kw_only=True, rename="camel"):
    """There will be no Markdown; ``error`` is the reason."""

    id: str
    error: str
    code: str
    retryable: bool
    status: DocumentState = "failed"


class DeletionReceipt(Struct, frozen=True, kw_only=True, rename="camel"):
    """The document is no longer stored. Size in bytes and SHA-256 are those of the original.

    Both are null where the original was never received; ``deleted_at`` is while it is being done.
    """

    id: str
    status: Literal["deleted", "cancelled"]
    file_name: str
    file_size: int | None
    sha256: str | None
    deleted_at: Instant | None


class DocumentMetadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """What was converted, by what, and how long the engine took in milliseconds.

    ``fallback_from`` is left out unless another engine was wanted and could not do it.
    """

    model: str | None
    engine: str | None
    pages: int
    extracted_pages: int
    processing_time_ms: int
    file_name: str
    file_size: int
    mime_type: str
    fallback_from: EngineName | UnsetType = UNSET


class TokenUsage(Struct, frozen=True, kw_only=True):
    """Tokens of the conversion, estimated where the engine does not count them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class DocumentContent(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A converted document, ``content`` being its Markdown.

    ``pages`` is there where the engine reports each page: its images, tables, links, size. An
    image with a ``name`` is at ``/api/documents/{id}/images/{name}``.
    """

    id: str
    content: str
    metadata: DocumentMetadata
    usage: TokenUsage
    download_url: str
    file_name: str
    created_at: Instant
    processed_at: Instant | None = None
    pages: list[PageResult] | None = None


class HealthReport(Struct, frozen=True, kw_only=True):
    """How the parts of the service are; each problem is a sentence for the operator."""

    services: dict[str, str]
    healthy: bool
    problems: list[str]


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``healthy`` or ``unhealthy``, then with ``error``."""

    status: str
    version: str
    timestamp: Instant
    services: dict[str, str]
    error: str | None = None


class Alive(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Endpoint(Struct, frozen=True, kw_only=True):
    """One thing the service can be asked."""

    method: str
    path: str
    description: str


class Index(Struct, frozen=True, kw_only=True):
    """What can be asked of the service."""

    name: str
    version: str
    endpoints: list[Endpoint]
