-- What the client attached for itself, metadata as JSON; NULL: nothing, or erased with the document.

ALTER TABLE documents ADD COLUMN reference TEXT;
ALTER TABLE documents ADD COLUMN metadata TEXT;
ALTER TABLE batches ADD COLUMN reference TEXT;
ALTER TABLE batches ADD COLUMN metadata TEXT;
