"""A trial that went well, on paper: what was promised, read and found fits together."""

import msgspec

from ilios.chaos.papers import Kind, Paper
from ilios.chaos.promises import Book, Door
from ilios.chaos.reading import ReadBatch, ReadDocument, Reading
from ilios.database.audit import Audit, AuditedDocument

GOOD, BROKEN, DELETED, CANCELLED = "good", "broken", "deleted", "cancelled"
BATCH, FIRST, SECOND = "batch", "first", "second"
STRANGER = "stranger"
"""The ids of the documents, the last of which was never accepted, and of the batch."""


class OnPaper:
    """``book``, ``reading`` and ``audit`` of one trial, for a test to doctor."""

    def __init__(self) -> None:
        self.book = Book()
        self.reading = Reading({}, {})
        self.audit = Audit(documents={}, batches={BATCH: True})
        self._made = 0
        self._accepted(GOOD, "pdf", pages=3)
        self._accepted(BROKEN, "broken")
        self._accepted(DELETED, "docx", removed="deleted")
        self._accepted(CANCELLED, "pdf", removed="cancelled")
        self._accepted(FIRST, "pdf", door="batch", batch=BATCH)
        self._accepted(SECOND, "unknown", door="batch", batch=BATCH)
        self.book.batches[BATCH] = [FIRST, SECOND]
        counts = {"total": 2, "pending": 0, "processing": 0, "completed": 1, "failed": 1}
        self.reading.batches[BATCH] = ReadBatch(counts, {FIRST: None, SECOND: None})
        stranger = self._paper("pdf")
        self.book.hand_in(stranger, "submit").outcome = "unanswered"
        self._row(STRANGER, stranger, "completed")

    def change(self, name: str, **changes: object) -> None:
        """Make a document another in the database."""
        row = self.audit.documents[name]
        self.audit.documents[name] = msgspec.structs.replace(row, **changes)

    def read(self, name: str, **changes: object) -> None:
        """Make another of what was read of a document."""
        found = self.reading.documents[name]
        self.reading.documents[name] = msgspec.structs.replace(found, **changes)

    def _paper(self, kind: Kind, pages: int = 1) -> Paper:
        self._made += 1
        return Paper(self._made, kind, pages)

    def _accepted(
        self,
        name: str,
        kind: Kind,
        *,
        pages: int = 1,
        door: Door = "submit",
        batch: str | None = None,
        removed: str | None = None,
    ) -> None:
        paper = self._paper(kind, pages)
        self.book.accept(name, self.book.hand_in(paper, door), now=1.0)
        state = removed or ("completed" if paper.is_good else "failed")
        if removed:
            self.book.documents[name].removal = removed  # type: ignore[assignment]
        self.book.see(name, state, None, asked_at=2.0, now=3.0)
        statuses = {"completed": (200, 200), "failed": (500, 200)}.get(state, (410, 410))
        self.reading.documents[name] = ReadDocument(state, *statuses)
        self._row(name, paper, state, batch)

    def _row(self, name: str, paper: Paper, state: str, batch: str | None = None) -> None:
        code = {"broken": "corrupt", "unknown": "unsupported_type"}.get(paper.kind)
        converted = state in ("completed", "deleted")
        self.audit.documents[name] = AuditedDocument(
            name=name,
            state=state,
            code="cancelled" if state == "cancelled" else code,
            reason="It is so." if code else None,
            pages=paper.pages if converted else None,
            batch=batch,
            sha256=paper.sha256,
            bills=int(converted),
            billed_pages=paper.pages if converted else 0,
        )
