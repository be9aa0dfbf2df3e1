-- Whether a document was completed without its last pages, because its time budget had ended.

ALTER TABLE documents ADD COLUMN partial INTEGER NOT NULL DEFAULT 0;
