"""Exceptions by which an actor decides what becomes of an event."""


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
