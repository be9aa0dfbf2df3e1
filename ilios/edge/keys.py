"""What handlers find in the application and in a request, and what the edge needs of the world."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web
from msgspec import Struct

from actors.ports import Blobs
from schemas.documents import (
    AnyDocumentEvent,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
)
from schemas.records import DocumentRecord
from schemas.replies import HealthReport


class Publisher(Protocol):
    """Says events on the log."""

    async def say(self, event: AnyDocumentEvent) -> object:
        """Return after the log has the event on disk.

        :raises bus.errors.BusUnavailable: the log did not answer.
        :raises bus.errors.BusFull: the log has no room.
        :raises bus.errors.EventTooLarge: the log does not take events of this size.
        """
        ...


class Log(Protocol):
    """What the log knows and the database may not know yet."""

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        """Return what was submitted under this id.

        :raises bus.errors.BusUnavailable: the log did not answer.
        """
        ...


class Outcome(Protocol):
    """The end of one document."""

    async def wait(self) -> DocumentCompleted | DocumentFailed | DocumentCancelled:
        """Wait for it, without a limit; it may be missed while the bus reconnects."""
        ...


class Outcomes(Protocol):
    """Hears how documents end."""

    def watch(self, tenant: str, document_id: str) -> AbstractAsyncContextManager[Outcome]:
        """Listen to one document; to be entered before it is submitted."""
        ...


class Reads(Protocol):
    """What the database knows."""

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        """Return the tenant's document, or None."""
        ...


class Limits(Struct, frozen=True, kw_only=True):
    """What one request may take. Sizes are bytes, times seconds."""

    max_file_bytes: int = 1024**3
    max_field_bytes: int = 64 * 1024
    max_parts: int = 20
    """Parts of a form with one file. Thousands of empty parts would hold the loop for seconds."""
    read_within: float = 30.0
    """A client may be silent this long while it sends."""
    grace: float = 60.0
    """An upload may be slower than ``min_bytes_per_second`` this long."""
    min_bytes_per_second: int = 8 * 1024
    convert_within: float = 300.0
    """How long ``/v1/convert`` waits before it answers 202."""
    ask_again_after: float = 1.0
    """How often a waiter asks the database, in case it missed the event."""
    health_within: float = 5.0


Health = Callable[[], Awaitable[HealthReport]]


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The collaborators of the edge. Without ``api_keys`` everybody is the tenant "default"."""

    publisher: Publisher
    log: Log
    outcomes: Outcomes
    reads: Reads
    blobs: Blobs
    health: Health
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    limits: Limits = field(default_factory=Limits)


EDGE = web.AppKey("edge", Edge)
REQUEST_ID = web.RequestKey("request_id", str)
TENANT = web.RequestKey("tenant", str)
CLOSING = web.AppKey("closing", asyncio.Event)
