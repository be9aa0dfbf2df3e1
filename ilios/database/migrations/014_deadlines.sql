-- By when a document must be converted; NULL: at any time. One that was requeued has none any more.

ALTER TABLE documents ADD COLUMN deadline INTEGER;

CREATE INDEX documents_due ON documents (deadline)
    WHERE deadline IS NOT NULL AND requeues = 0 AND state IN ('pending', 'processing');
