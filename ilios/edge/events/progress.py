"""Which events of the log change a document or a batch, as in the database, and their public names.

The log may have an event twice, and events without effect: of a slow worker after the end of its
document, or from before a requeue. What is left is a function of the events of one document in the
order of the log, so that every edge finds the same, at any time.
"""

from typing import Literal

from schemas.batches import (
    TERMINAL_JOB_STATUSES,
    BatchCompleted,
    BatchEvent,
    BatchProgressed,
    BatchSubmitted,
)
from schemas.documents import (
    DocumentCancelled,
    DocumentCompleted,
    DocumentConverted,
    DocumentDeleted,
    DocumentEvent,
    DocumentFailed,
    DocumentFetched,
    DocumentRejected,
    DocumentSubmitted,
)
from schemas.event_replies import EventName

_State = Literal[
    "unknown",
    "pending",
    "processing",
    "converted",
    "completed",
    "failed",
    "rejected",
    "cancelled",
    "deleted",
]

ENDS: frozenset[EventName] = frozenset(
    {
        "document.completed",
        "document.failed",
        "document.rejected",
        "document.cancelled",
        "document.deleted",
    }
)
"""Events with which a document ends. One that was completed may be deleted later."""

_UNFINISHED = ("unknown", "pending", "processing")
_ENDED = ("converted", "completed", "failed", "rejected")


class DocumentProgress:
    """The state of a document after some of its events.

    It begins ``unknown``, and not as none: the log may have lost the first events.
    """

    __slots__ = ("_requeues", "_state")

    def __init__(self) -> None:
        self._state: _State = "unknown"
        self._requeues = 0

    def apply(self, event: DocumentEvent) -> EventName | None:
        """Apply the next event; returns the public name of its effect, None without one."""
        match event:
            case DocumentSubmitted():
                return self._submit(event)
            case DocumentFetched() | DocumentConverted() | DocumentFailed():
                return self._advance(event) if self._is_open(event) else None
            case DocumentCompleted() if self._state in ("unknown", "converted"):
                self._state = "completed"
                return "document.completed"
            case DocumentRejected() if self._state == "unknown":
                self._state = "rejected"
                return "document.rejected"
            case DocumentCancelled() | DocumentDeleted():
                return self._remove(event)
            case _:
                return None

    def _advance(
        self, event: DocumentFetched | DocumentConverted | DocumentFailed
    ) -> EventName | None:
        if isinstance(event, DocumentFetched):
            is_new = self._state != "processing" or event.requeues > self._requeues
            self._set("processing", event)
            return "document.processing" if is_new else None
        if isinstance(event, DocumentConverted):
            self._set("converted", event)
            return None  # it is announced when it is committed
        self._set("failed", event)
        return "document.failed"

    def _submit(self, event: DocumentSubmitted) -> EventName | None:
        is_first = self._state in ("unknown", "rejected")
        is_requeued = self._is_open(event) and event.requeues > self._requeues
        if not is_first and not is_requeued:
            return None
        self._set("pending" if event.detected is None else "processing", event)
        return "document.submitted"

    def _remove(self, event: DocumentCancelled | DocumentDeleted) -> EventName | None:
        requested = isinstance(event, DocumentCancelled) or event.cause == "requested"
        if requested and self._state in _UNFINISHED:
            self._state = "cancelled"
            return "document.cancelled"
        if self._state not in _ENDED and self._state != "unknown":
            return None
        if not requested and event.requeues < self._requeues:
            return None
        self._state = "deleted"
        return "document.deleted"

    def _is_open(self, event: DocumentEvent) -> bool:
        if self._state in _UNFINISHED:
            return self._requeues <= event.requeues
        return self._state in ("failed", "rejected") and self._requeues < event.requeues

    def _set(self, state: _State, event: DocumentEvent) -> None:
        self._state, self._requeues = state, event.requeues


class BatchProgress:
    """The state of a batch after some of its events."""

    __slots__ = ("_completed", "_last", "_submitted")

    def __init__(self) -> None:
        self._submitted = self._completed = False
        self._last: BatchProgressed | None = None

    def apply(self, event: BatchEvent) -> EventName | None:
        """Apply the next event; returns the public name of its effect, None without one."""
        match event:
            case BatchSubmitted() if not self._submitted:
                self._submitted = True
                return "batch.submitted"
            case BatchProgressed() if event != self._last and not self._job_ended:
                self._last = event
                return "batch.progressed"
            case BatchCompleted() if not self._completed:
                self._completed = True
                return "batch.completed"
            case _:
                return None

    @property
    def _job_ended(self) -> bool:
        return self._last is not None and self._last.status in TERMINAL_JOB_STATUSES
