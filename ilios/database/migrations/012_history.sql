-- What happened to a document, step by step, where its row has only its state. Figures of a
-- conversion are in the row, and its cost in usage. What happened before this migration is missing.

CREATE TABLE history (
    tenant TEXT NOT NULL,
    document_id TEXT NOT NULL,
    requeues INTEGER NOT NULL, -- of the document when it happened
    event TEXT NOT NULL, -- at most one of a kind between two requeues
    at INTEGER NOT NULL,
    attempts INTEGER,
    code TEXT,
    reason TEXT,
    PRIMARY KEY (tenant, document_id, requeues, event)
) STRICT, WITHOUT ROWID;
