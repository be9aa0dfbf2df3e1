"""Reply about the history of a document."""

from typing import Literal

from msgspec import Struct

from .documents import RemovalCause
from .replies import Instant

HistoryEvent = Literal[
    "submitted",
    "requeued",
    "fetched",
    "completed",
    "failed",
    "rejected",
    "archived",
    "cancelled",
    "deleted",
]


class HistoryEntry(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One step of a document.

    ``attempt`` is 1, and one more with each time a failed document was requeued. ``tries`` is how
    often its last step was tried before it ``failed``, ``code`` and ``reason`` say why. A document
    is ``completed`` after ``durationMs`` of its engine, and its cost is in millionths of a US
    dollar. ``cause`` is why it was ``deleted``.
    """

    event: HistoryEvent
    at: Instant
    attempt: int
    tries: int | None = None
    code: str | None = None
    reason: str | None = None
    duration_ms: int | None = None
    pages: int | None = None
    engine: str | None = None
    model: str | None = None
    cost_micros: int | None = None
    cause: RemovalCause | None = None


class HistoryReply(Struct, frozen=True, kw_only=True, rename="camel"):
    """What happened to a document, oldest first."""

    id: str
    history: list[HistoryEntry]
