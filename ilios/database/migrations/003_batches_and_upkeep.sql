-- Batches; documents that are cancelled, archived, deleted; what the janitor has to find quickly.
-- The table is made anew because SQLite cannot change a CHECK.

CREATE TABLE documents_new (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN (
        'pending', 'processing', 'completed', 'failed', 'archived', 'cancelled', 'deleted'
    )),
    file_name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    file_size INTEGER,
    priority INTEGER NOT NULL,
    retention_days INTEGER NOT NULL,
    operation TEXT NOT NULL,
    submitted_at INTEGER NOT NULL,
    submitted_sequence INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    batch_id TEXT,
    fingerprint TEXT, -- of the request that carried an idempotency key
    original_key TEXT,
    original_sha256 TEXT,
    finished_at INTEGER,
    finished_sequence INTEGER, -- the event that ended it: what comes later changes nothing
    markdown_key TEXT,
    markdown_size INTEGER,
    markdown_sha256 TEXT,
    pages INTEGER,
    engine TEXT,
    model TEXT,
    seconds REAL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    code TEXT,
    reason TEXT,
    retryable INTEGER,
    attempts INTEGER,
    archived_at INTEGER,
    removed_at INTEGER, -- cancelled or deleted: a receipt from here on
    removal TEXT CHECK (removal IN ('requested', 'expired')),
    erased_at INTEGER, -- its bytes are gone
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

INSERT INTO documents_new (
    tenant, id, state, file_name, content_type, file_size, priority, retention_days, operation,
    submitted_at, submitted_sequence, expires_at, original_key, original_sha256, finished_at,
    finished_sequence, markdown_key, markdown_size, markdown_sha256, pages, engine, model, seconds,
    input_tokens, output_tokens, code, reason, retryable, attempts
)
SELECT
    tenant, id, state, file_name, content_type, file_size, priority, retention_days, operation,
    submitted_at, submitted_sequence, submitted_at + retention_days * 86400000, original_key,
    original_sha256, finished_at, finished_sequence, markdown_key, markdown_size, markdown_sha256,
    pages, engine, model, seconds, input_tokens, output_tokens, code, reason, retryable, attempts
FROM documents;

DROP TABLE documents;
ALTER TABLE documents_new RENAME TO documents;

-- The progress of a batch is counted from this index alone.
CREATE INDEX documents_of_batch ON documents (tenant, batch_id, state, code)
    WHERE batch_id IS NOT NULL;
CREATE INDEX documents_unfinished ON documents (submitted_at)
    WHERE state IN ('pending', 'processing');
CREATE INDEX documents_expiring ON documents (expires_at)
    WHERE state IN ('completed', 'failed', 'archived');
CREATE INDEX documents_to_erase ON documents (removed_at)
    WHERE removed_at IS NOT NULL AND erased_at IS NULL;

CREATE TABLE batches (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    retention_days INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    submitted_sequence INTEGER NOT NULL,
    fingerprint TEXT,
    completed_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX batches_open ON batches (tenant, id) WHERE completed_at IS NULL;

-- When the janitor looked last, so that a clock that jumped while it slept is seen.
CREATE TABLE sweeps (
    name TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
