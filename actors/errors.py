"""What an actor may say instead of an answer."""


class RetryLater(Exception):
    """Not now, but later: the fault is not the event's.

    ``after`` is in seconds; without it the consumer's own steps count. ``counted`` tells whether
    this try uses one of the steps up: not if something outside ended it. Such a try is repeated
    in place, unless it is not to be ``held``: then others get its place meanwhile.

    With a ``code`` the owner gets to read both when the steps are used up, as with ``Reject``;
    without one the reason is for the operator alone.
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
    """Never: no other attempt will do better.

    ``code`` is stable and for programs, ``reason`` a sentence for people; ``retryable`` tells the
    owner whether submitting again may help.
    """

    def __init__(self, code: str, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.code = _event_text(code, MAX_CODE_LENGTH)
        self.reason = _event_text(reason, MAX_REASON_LENGTH)
        self.retryable = retryable


class MoveToDeadLetters(Exception):
    """The event is somebody's mistake and must not touch the document it names.

    It becomes a dead letter and nothing is said about the document.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _event_text(text: str, max_length: int) -> str:
    """Return a text that fits into an event, whatever a damaged document has put into it."""
    return text[:max_length].encode(errors="replace").decode()
