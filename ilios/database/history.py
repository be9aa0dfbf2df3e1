"""The SQL statements of the history of documents.

Each records a step in the transaction of the statement that changes the document, after it, and
only where that had an effect. A step is recorded once, however often its event is applied.
"""

from schemas.states import UNFINISHED_STATES

MAX_REQUEUES = 20
"""Later attempts of one document are not recorded, so that its rows are bounded."""

_UNFINISHED = ", ".join(f"'{state}'" for state in UNFINISHED_STATES)


def _record(step: str, when: str, *, at: str = ":at", failure: bool = False) -> str:
    """Return the statement that records a step of a document for which ``when`` holds."""
    figures = ":attempts, :code, :reason" if failure else "NULL, NULL, NULL"
    return f"""
INSERT INTO history (
    tenant, document_id, requeues, event, at, attempts, code, reason
)
SELECT tenant, id, requeues, {step}, {at}, {figures} FROM documents
WHERE tenant = :tenant AND id = :id AND requeues < {MAX_REQUEUES} AND {when}
ON CONFLICT (tenant, document_id, requeues, event) DO NOTHING
"""  # noqa: S608  # all of it is ours


RECORD_SUBMITTED = _record(
    "'submitted'", "submitted_sequence = :sequence AND requeues = 0", at=":submitted_at"
)
_IMPORTED = "submitted_sequence = :sequence AND finished_sequence = :sequence"
RECORD_IMPORTED_SUBMISSION = _record("'submitted'", _IMPORTED, at=":submitted_at")
RECORD_IMPORTED_END = _record(":state", _IMPORTED, at=":finished_at", failure=True)
RECORD_REQUEUED = _record(
    "'requeued'",
    f"state IN ({_UNFINISHED}) AND requeues = :requeues AND requeues > 0",
)
RECORD_FETCHED = _record("'fetched'", "state = 'processing' AND requeues = :requeues")
RECORD_COMPLETED = _record("'completed'", "state = 'completed' AND finished_sequence = :sequence")
RECORD_FAILED = _record(
    "'failed'", "state = 'failed' AND finished_sequence = :sequence", failure=True
)
RECORD_REJECTED = _record(
    "'rejected'",
    "state = 'failed' AND submitted_sequence = :sequence AND finished_sequence = :sequence",
    failure=True,
)
RECORD_ARCHIVED = _record("'archived'", "state = 'archived' AND archived_at = :at")
RECORD_REMOVED = _record("state", "removed_at = :at")

# Of a deleted document only the deletion remains.
ERASE_DELETED = """
DELETE FROM history
WHERE tenant = :tenant AND document_id = :id AND event != 'deleted' AND EXISTS (
    SELECT 1 FROM documents WHERE tenant = :tenant AND id = :id AND state = 'deleted'
)
"""  # likewise

# A valid submission replaces the row of a rejected one, and its history.
ERASE_REPLACED = """
DELETE FROM history
WHERE tenant = :tenant AND document_id = :id AND NOT EXISTS (
    SELECT 1 FROM documents WHERE tenant = :tenant AND id = :id
)
"""

OF_DOCUMENT = """
SELECT event, requeues, at, attempts, code, reason FROM history
WHERE tenant = :tenant AND document_id = :id
"""

COST = "SELECT sum(total_micros) FROM usage WHERE tenant = :tenant AND document_id = :id"
