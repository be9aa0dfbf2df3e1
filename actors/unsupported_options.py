"""How long a document with options that a worker does not know is left to other workers."""

from datetime import UTC, datetime

import msgspec

from actors.backoff import Backoff
from actors.errors import Reject, RetryLater
from schemas.documents import ConversionEvent, DocumentEvent

UNSUPPORTED_OPTION_TIMEOUT = 600.0  # seconds in which another worker can take the document
BACKOFF = Backoff(first=0.5, longest=30.0)  # 25 deliveries in that time


def unsupported_options(event: DocumentEvent) -> tuple[str, ...]:
    """Return the names of options of an event that this version does not know."""
    return event.options.unsupported if isinstance(event, ConversionEvent) else ()


def retry_or_reject(
    unsupported: tuple[str, ...], stored_at: datetime, attempt: int, timeout: float
) -> RetryLater | Reject:
    """Return what becomes of a delivery with such options: handed back, or given up in the end.

    The time is measured by the log alone, so that it goes on after a restart: since the event was
    stored, and by the deliveries, so that an event from a backlog gets as much of it as others.
    """
    backoff = msgspec.structs.replace(BACKOFF, longest=min(BACKOFF.longest, timeout / 4))
    # abs: one from the future was stored before the clock was set back.
    age = abs((datetime.now(UTC) - stored_at).total_seconds())
    names = ", ".join(f'"{name}"' for name in unsupported)
    if age >= timeout and backoff.total(attempt - 1) >= timeout:
        return Reject(
            "option_not_supported",
            f"The document asks for options that this service does not support: {names}.",
        )
    return RetryLater(
        f"unknown options, left to another worker: {names}",
        after=backoff.pause(attempt - 1),
        counts_as_attempt=False,
    )
