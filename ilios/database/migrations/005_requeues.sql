-- How often a failed document was tried again on somebody's order.

ALTER TABLE documents ADD COLUMN requeues INTEGER NOT NULL DEFAULT 0;
