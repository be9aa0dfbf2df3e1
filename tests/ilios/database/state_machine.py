"""The state of each document after a history, computed without a database.

A second implementation, in Python, of what the SQL of ``ilios.database`` does: tests run both over
generated histories and compare.
"""

from typing import NamedTuple

from schemas.batches import BatchEvent, BatchSubmitted
from schemas.documents import (
    DocumentArchived,
    DocumentCancelled,
    DocumentConverted,
    DocumentDeleted,
    DocumentEvent,
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
)
from schemas.events import AnyEvent
from schemas.quality import ConversionWarnings

UNFINISHED = frozenset({"pending", "processing"})
_OPEN = UNFINISHED | {"failed"}
_ENDED = frozenset({"completed", "failed"})
_REMOVED = frozenset({"cancelled", "deleted"})
_FORWARD: dict[type[DocumentEvent], str] = {
    DocumentFetched: "processing",
    DocumentConverted: "completed",
    DocumentFailed: "failed",
}

Ref = tuple[str, str]
"""Tenant and id, of a document or a batch."""


class ExpectedDocument(NamedTuple):
    """A document after some events, the last of them at ``sequence``.

    ``state`` is None as long as it was not submitted in this history: it may have begun earlier.
    ``ended`` is true from the first event of an end on, whether or not that had an effect.
    ``warnings`` are those of the conversion that completed it.
    """

    state: str | None
    ended: bool
    sequence: int
    requeues: int = 0
    warnings: ConversionWarnings = ()


class ExpectedState:
    """Every document and batch after the events that were applied, in their order."""

    def __init__(self) -> None:
        self.documents: dict[Ref, ExpectedDocument] = {}
        self.batches: dict[Ref, int] = {}
        self.submitted_batches: set[Ref] = set()

    def apply(self, sequence: int, event: AnyEvent) -> None:
        """Apply an event that was not refused."""
        if isinstance(event, BatchEvent):
            batch = (event.tenant, event.batch_id)
            if isinstance(event, BatchSubmitted) and batch not in self.submitted_batches:
                self.submitted_batches.add(batch)
                for document in event.documents:
                    self._submit((event.tenant, document.document_id), sequence, 0)
            self.batches[batch] = sequence
            return
        name = (event.tenant, event.document_id)
        before = self.documents.get(name)
        if isinstance(event, DocumentSubmitted):
            self._submit(name, sequence, event.requeues)
        elif before is None or before.state is None:
            # Whether a requeue of a document that began earlier counted depends on its beginning.
            ended = before is not None and before.ended and not event.requeues
            ends = not isinstance(event, DocumentFetched) or ended
            # An end of an earlier attempt does not end the present one.
            if before is not None and event.requeues < before.requeues:
                self.documents[name] = before._replace(sequence=sequence)
            else:
                self.documents[name] = ExpectedDocument(None, ends, sequence, event.requeues)
        else:
            after, requeues = _next_state(before, event)
            warnings = before.warnings
            if isinstance(event, DocumentConverted) and after == "completed" != before.state:
                warnings = event.warnings
            self.documents[name] = ExpectedDocument(
                after, after not in UNFINISHED, sequence, requeues, warnings
            )

    def _submit(self, name: Ref, sequence: int, requeues: int) -> None:
        before = self.documents.get(name)
        open_again = before and before.state in _OPEN and before.requeues < requeues
        if before is None or open_again:
            self.documents[name] = ExpectedDocument("pending", False, sequence, requeues)  # noqa: FBT003
        else:
            # A repeated submission: the first one counts, also one before this history.
            ended = before.ended and not (before.state is None and requeues)
            most = max(before.requeues, requeues) if before.state is None else before.requeues
            self.documents[name] = before._replace(ended=ended, sequence=sequence, requeues=most)


def _next_state(expected: ExpectedDocument, event: DocumentEvent) -> tuple[str, int]:
    """Return state and requeues of a document after an event."""
    state = str(expected.state)
    forward = _FORWARD.get(type(event))
    if forward is None:
        late = event.requeues < expected.requeues
        return _removed_or_archived(state, event, late=late), expected.requeues
    open_again = state == "failed" and event.requeues > expected.requeues
    if open_again or (state in UNFINISHED and event.requeues >= expected.requeues):
        return forward, event.requeues
    return state, expected.requeues


def _removed_or_archived(state: str, event: DocumentEvent, *, late: bool) -> str:
    """Return the state after an event about the end of a document."""
    if state in _REMOVED:
        return state
    if isinstance(event, DocumentCancelled | DocumentDeleted):
        expired = isinstance(event, DocumentDeleted) and event.cause != "requested"
        if expired and (late or state in UNFINISHED):
            return state
        return "cancelled" if state in UNFINISHED else "deleted"
    archived = isinstance(event, DocumentArchived) and state in _ENDED and not late
    return "archived" if archived else state
