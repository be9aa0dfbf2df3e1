-- Times are UTC milliseconds since 1970. (tenant, id) names a document everywhere.

CREATE TABLE documents (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'processing', 'completed', 'failed', 'archived')),
    file_name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    file_size INTEGER,
    priority INTEGER NOT NULL,
    retention_days INTEGER NOT NULL,
    operation TEXT NOT NULL,
    submitted_at INTEGER NOT NULL,
    submitted_sequence INTEGER NOT NULL,
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
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- One row per operation that was completed, written in the transaction that completes it.
CREATE TABLE usage (
    tenant TEXT NOT NULL,
    document_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    engine TEXT NOT NULL,
    model TEXT NOT NULL,
    pages INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, document_id, operation),
    FOREIGN KEY (tenant, document_id) REFERENCES documents (tenant, id)
) STRICT, WITHOUT ROWID;

-- How far each reader of the log has come, and on which log.
CREATE TABLE cursors (
    reader TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    created TEXT NOT NULL,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
