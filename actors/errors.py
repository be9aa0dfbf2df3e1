"""Exceptions by which an actor decides what becomes of an event, also of unknown options."""

from datetime import UTC, datetime

import msgspec

from actors.backoff import Backoff
from schemas.documents import ConversionEvent, DocumentEvent
from schemas.options import PASSWORD


class RetryLater(Exception):
    """The event is to be handled again later.

    ``after`` is in seconds; without it the backoff of the consumer counts. An attempt that was
    interrupted from outside has ``counts_as_attempt`` false. It is repeated at once, unless
    ``in_place`` is false: then the delivery is given back.

    With a ``code`` the document fails with code and reason after the last attempt, as with
    ``Reject``; without one the reason is only for the operator.
    """

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        after: float | None = None,
        counts_as_attempt: bool = True,
        in_place: bool = True,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.after = after
        self.counts_as_attempt = counts_as_attempt
        self.in_place = in_place


MAX_REASON_LENGTH = 2000  # characters; what an engine gives as its reason has no limit
MAX_CODE_LENGTH = 64  # characters


class Reject(Exception):
    """The document fails, because no other attempt would succeed.

    ``code`` is stable, ``reason`` a sentence for the owner; ``retryable`` is whether submitting the
    document again may help.
    """

    def __init__(self, code: str, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.code = _event_text(code, MAX_CODE_LENGTH)
        self.reason = _event_text(reason, MAX_REASON_LENGTH)
        self.retryable = retryable


class MoveToDeadLetters(Exception):
    """The event is a mistake of its publisher and becomes a dead letter.

    The document that it names is not changed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _event_text(text: str, max_length: int) -> str:
    """Return a text that fits into an event, whatever a damaged document has put into it."""
    return text[:max_length].encode(errors="replace").decode()


UNSUPPORTED_OPTION_TIMEOUT = 600.0  # seconds in which another worker can take the document
UNSUPPORTED_OPTION_BACKOFF = Backoff(first=0.5, longest=30.0)  # 25 deliveries in that time


def unsupported_options(event: DocumentEvent) -> tuple[str, ...]:
    """Return the names of options of an event that this version does not support."""
    return event.options.unsupported if isinstance(event, ConversionEvent) else ()


def retry_or_reject(
    unsupported: tuple[str, ...], stored_at: datetime, attempt: int, timeout: float
) -> RetryLater | Reject:
    """Return the outcome of a delivery with such options: handed back, or given up in the end.

    The time is measured by the log alone, so that it goes on after a restart: since the event was
    stored, and by the deliveries, so that an event from a backlog gets as much of it as others.
    """
    longest = min(UNSUPPORTED_OPTION_BACKOFF.longest, timeout / 4)
    backoff = msgspec.structs.replace(UNSUPPORTED_OPTION_BACKOFF, longest=longest)
    # abs: one from the future was stored before the clock was set back.
    age = abs((datetime.now(UTC) - stored_at).total_seconds())
    names = ", ".join(f'"{name}"' for name in unsupported)
    if PASSWORD in unsupported:
        return Reject(
            "option_not_supported",
            f'Unknown option "{PASSWORD}": a password would stay on the log. Submit the document '
            "by HTTP, and delete this event and its dead letter.",
        )
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
