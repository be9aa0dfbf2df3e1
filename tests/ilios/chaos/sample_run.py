"""The record, readback and audit of a run without violations."""

import msgspec

from ilios.chaos.documents import Kind, SampleDocument
from ilios.chaos.record import Channel, RunRecord
from ilios.chaos.verify import Readback, ReadBatch, ReadDocument
from ilios.database.recovery.audit import Audit, AuditedDocument

GOOD, BROKEN, DELETED, CANCELLED = "good", "broken", "deleted", "cancelled"
BATCH, FIRST, SECOND = "batch", "first", "second"
NEVER_ACCEPTED = "stranger"
"""The ids of the documents, the last of which was never accepted, and of the batch."""


class SampleRun:
    """``record``, ``readback`` and ``audit`` of one run, for a test to corrupt."""

    def __init__(self) -> None:
        self.record = RunRecord()
        self.readback = Readback({}, {})
        self.audit = Audit(documents={}, batches={BATCH: True})
        self._made = 0
        self._accepted(GOOD, "pdf", pages=3)
        self._accepted(BROKEN, "broken")
        self._accepted(DELETED, "docx", removed="deleted")
        self._accepted(CANCELLED, "pdf", removed="cancelled")
        self._accepted(FIRST, "pdf", channel="batch", batch=BATCH)
        self._accepted(SECOND, "unknown", channel="batch", batch=BATCH)
        self.record.batches[BATCH] = [FIRST, SECOND]
        counts = {"total": 2, "pending": 0, "processing": 0, "completed": 1, "failed": 1}
        self.readback.batches[BATCH] = ReadBatch(counts, {FIRST: None, SECOND: None})
        unaccepted = self._new_sample("pdf")
        self.record.add_submission(unaccepted, "submit").outcome = "unanswered"
        self._row(NEVER_ACCEPTED, unaccepted, "completed")

    def change(self, name: str, **changes: object) -> None:
        """Change the row of a document."""
        row = self.audit.documents[name]
        self.audit.documents[name] = msgspec.structs.replace(row, **changes)

    def read(self, name: str, **changes: object) -> None:
        """Change what was read of a document."""
        found = self.readback.documents[name]
        self.readback.documents[name] = msgspec.structs.replace(found, **changes)

    def _new_sample(self, kind: Kind, pages: int = 1) -> SampleDocument:
        self._made += 1
        return SampleDocument(self._made, kind, pages)

    def _accepted(
        self,
        name: str,
        kind: Kind,
        *,
        pages: int = 1,
        channel: Channel = "submit",
        batch: str | None = None,
        removed: str | None = None,
    ) -> None:
        sample = self._new_sample(kind, pages)
        self.record.record_accepted(name, self.record.add_submission(sample, channel), now=1.0)
        state = removed or ("completed" if sample.is_convertible else "failed")
        if removed:
            self.record.documents[name].removal = removed  # type: ignore[assignment]
        self.record.record_state(name, state, None, asked_at=2.0, now=3.0)
        statuses = {"completed": (200, 200), "failed": (500, 200)}.get(state, (410, 410))
        self.readback.documents[name] = ReadDocument(state, *statuses)
        self._row(name, sample, state, batch)

    def _row(self, name: str, sample: SampleDocument, state: str, batch: str | None = None) -> None:
        code = {"broken": "corrupt", "unknown": "unsupported_type"}.get(sample.kind)
        converted = state in ("completed", "deleted")
        self.audit.documents[name] = AuditedDocument(
            name=name,
            state=state,
            code="cancelled" if state == "cancelled" else code,
            reason="It is so." if code else None,
            pages=sample.pages if converted else None,
            batch=batch,
            sha256=sample.sha256,
            reference=None if batch or state in ("cancelled", "deleted") else sample.sha256,
            bills=int(converted),
            billed_pages=sample.pages if converted else 0,
        )
