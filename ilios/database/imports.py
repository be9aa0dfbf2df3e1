"""Effects of imported documents and batches on the database: statements and parameters."""

from datetime import datetime

from actors.writes import LogEntry
from ilios.database import history, rows
from ilios.visible import clean_name
from schemas.documents import clamp_seconds
from schemas.imports import BatchImported, DocumentImported

INSERT_BATCH = """
INSERT INTO batches (
    tenant, id, priority, retention_days, submitted_at, submitted_sequence, completed_at
) VALUES (
    :tenant, :id, :priority, :retention_days, :submitted_at, :sequence, :completed_at
) ON CONFLICT (tenant, id) DO NOTHING
"""

# Only the first event with an id has an effect, whatever it was.
INSERT_DOCUMENT = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, file_size, priority, retention_days, operation,
    submitted_at, submitted_sequence, expires_at, batch_id, original_key, original_sha256,
    finished_at, finished_sequence, markdown_key, markdown_size, markdown_sha256, pages, engine,
    model, seconds, input_tokens, output_tokens, code, reason, retryable, attempts
) VALUES (
    :tenant, :id, :state, :file_name, :content_type, :file_size, :priority, :retention_days,
    :operation, :submitted_at, :sequence, :submitted_at + :retention_days * 86400000, :batch_id,
    :original_key, :original_sha256, :finished_at, :sequence, :markdown_key, :markdown_size,
    :markdown_sha256, :pages, :engine, :model, :seconds, :input_tokens, :output_tokens, :code,
    :reason, :retryable, :attempts
) ON CONFLICT (tenant, id) DO NOTHING
"""

# With the prices of the time, not those of today.
INSERT_USAGE = """
INSERT INTO usage (
    tenant, document_id, operation, engine, model, pages, input_tokens, output_tokens, created_at,
    unit_micros, base_micros, margin_percent, total_micros
)
SELECT
    tenant, id, operation, engine, model, pages, input_tokens, output_tokens, :created_at,
    :unit_micros, :base_micros, :margin_percent, :total_micros
FROM documents
WHERE tenant = :tenant AND id = :id AND state = 'completed' AND finished_sequence = :sequence
ON CONFLICT (tenant, document_id, operation) DO NOTHING
"""

Statement = tuple[str, dict[str, object]]


def batch_statements(
    event: BatchImported, common: dict[str, object], _entry: LogEntry, _billing: object
) -> list[Statement]:
    """Return the changes of an imported batch."""
    batch = common | {
        "priority": event.priority,
        "retention_days": event.retention_days,
        "submitted_at": rows.to_milliseconds(event.submitted_at),
        "completed_at": _optional_milliseconds(event.completed_at),
    }
    return [(INSERT_BATCH, batch)]


def document_statements(
    event: DocumentImported, common: dict[str, object], _entry: LogEntry, _billing: object
) -> list[Statement]:
    """Return the changes of an imported document."""
    document = common | _document_parameters(event)
    statements: list[Statement] = [
        (INSERT_DOCUMENT, document),
        (history.RECORD_IMPORTED_SUBMISSION, document),
        (history.RECORD_IMPORTED_END, document),
    ]
    if (bill := event.usage) is not None:
        prices: dict[str, object] = {
            "created_at": rows.to_milliseconds(bill.created_at),
            "unit_micros": bill.unit_micros,
            "base_micros": bill.base_micros,
            "margin_percent": bill.margin_percent,
            "total_micros": bill.total_micros,
        }
        statements.append((INSERT_USAGE, common | prices))
    return statements


def _document_parameters(event: DocumentImported) -> dict[str, object]:
    original, markdown, bill = event.original, event.markdown, event.usage
    completed = markdown is not None
    return {
        "state": "completed" if completed else "failed",
        "file_name": clean_name(event.file_name),
        "content_type": event.content_type,
        "file_size": original.size if original else None,
        "priority": event.priority,
        "retention_days": event.retention_days,
        "operation": event.operation,
        "submitted_at": rows.to_milliseconds(event.submitted_at),
        "finished_at": rows.to_milliseconds(event.finished_at),
        "batch_id": event.batch_id,
        "original_key": original.key if original else None,
        "original_sha256": original.sha256 if original else None,
        "markdown_key": markdown.key if markdown else None,
        "markdown_size": markdown.size if markdown else None,
        "markdown_sha256": markdown.sha256 if markdown else None,
        "pages": event.pages if completed else None,
        "engine": event.engine if completed else None,
        "model": event.model if completed else None,
        "seconds": clamp_seconds(event.seconds) if completed else None,
        "input_tokens": bill.input_tokens if bill else None,
        "output_tokens": bill.output_tokens if bill else None,
        "code": event.code,
        "reason": event.reason,
        "retryable": None if completed else True,
        "attempts": None if completed else 1,
    }


def _optional_milliseconds(time: datetime | None) -> int | None:
    return None if time is None else rows.to_milliseconds(time)
