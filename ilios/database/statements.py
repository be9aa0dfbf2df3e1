"""The statements of the service, each with what it is for. Parameters are named."""

BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
SAVEPOINT = "SAVEPOINT one_write"
RELEASE = "RELEASE one_write"
ROLLBACK_TO = "ROLLBACK TO one_write"

GET_CURSOR = "SELECT stream, created, sequence FROM cursors WHERE reader = :reader"

SET_CURSOR = """
INSERT INTO cursors (reader, stream, created, sequence)
VALUES (:reader, :stream, :created, :sequence)
ON CONFLICT (reader) DO UPDATE SET
    stream = excluded.stream, created = excluded.created, sequence = excluded.sequence
"""

FORGET_CURSOR = "DELETE FROM cursors WHERE reader = :reader"

# The first submission under an id counts; a second one changes nothing.
SUBMITTED = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, file_size, priority, retention_days, operation,
    submitted_at, submitted_sequence
) VALUES (
    :tenant, :id, 'pending', :file_name, :content_type, :file_size, :priority, :retention_days,
    :operation, :submitted_at, :sequence
) ON CONFLICT (tenant, id) DO NOTHING
"""

FETCHED = """
UPDATE documents SET
    state = 'processing', content_type = :content_type, file_size = :size,
    original_key = :key, original_sha256 = :sha256
WHERE tenant = :tenant AND id = :id AND state IN ('pending', 'processing')
"""

# Guarded by the state, so that a terminal state never regresses and is reached once.
CONVERTED = """
UPDATE documents SET
    state = 'completed', finished_at = :at, finished_sequence = :sequence,
    markdown_key = :key, markdown_size = :size, markdown_sha256 = :sha256,
    pages = :pages, engine = :engine, model = :model, seconds = :seconds,
    input_tokens = :input_tokens, output_tokens = :output_tokens
WHERE tenant = :tenant AND id = :id AND state IN ('pending', 'processing')
"""

# Only for the conversion that completed the document, and once whatever is applied again.
USED = """
INSERT INTO usage (
    tenant, document_id, operation, engine, model, pages, input_tokens, output_tokens, created_at
)
SELECT tenant, id, operation, engine, model, pages, input_tokens, output_tokens, finished_at
FROM documents
WHERE tenant = :tenant AND id = :id AND state = 'completed' AND finished_sequence = :sequence
ON CONFLICT (tenant, document_id, operation) DO NOTHING
"""

FAILED = """
UPDATE documents SET
    state = 'failed', finished_at = :at, finished_sequence = :sequence,
    code = :code, reason = :reason, retryable = :retryable, attempts = :attempts
WHERE tenant = :tenant AND id = :id AND state IN ('pending', 'processing')
"""

_DOCUMENT = """
SELECT
    d.tenant, d.id, d.state, d.file_name, d.content_type, d.file_size, d.priority,
    d.retention_days, d.operation, d.submitted_at, d.finished_at, d.original_key,
    d.original_sha256, d.markdown_key, d.markdown_size, d.markdown_sha256, d.pages, d.engine,
    d.model, d.seconds, d.input_tokens, d.output_tokens, d.code, d.reason, d.retryable
FROM documents AS d
"""

DOCUMENT = _DOCUMENT + "WHERE d.tenant = :tenant AND d.id = :id"

# :names is a JSON array of [tenant, id].
COMPLETED_AMONG = (
    _DOCUMENT
    + """
JOIN json_each(:names) AS name
    ON d.tenant = name.value ->> 0 AND d.id = name.value ->> 1
WHERE d.state = 'completed'
"""
)

PING = "SELECT 1"
