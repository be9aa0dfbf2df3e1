-- Which engine is wanted and which it was; what it tells of the pages; documents that wait for a
-- batch of their engine's.

ALTER TABLE documents ADD COLUMN engine_wanted TEXT;
ALTER TABLE documents ADD COLUMN model_wanted TEXT;
ALTER TABLE documents ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN result_key TEXT;
ALTER TABLE documents ADD COLUMN result_size INTEGER;
ALTER TABLE documents ADD COLUMN result_sha256 TEXT;
ALTER TABLE documents ADD COLUMN billed_pages INTEGER;
ALTER TABLE documents ADD COLUMN fallback_from TEXT;

ALTER TABLE batches ADD COLUMN engine_batch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN engine_job TEXT;
ALTER TABLE batches ADD COLUMN engine_status TEXT;
ALTER TABLE batches ADD COLUMN engine_ended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN engine_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN engine_completed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN engine_failed INTEGER NOT NULL DEFAULT 0;

-- Who hands over and fetches engine batches looks at these every second.
CREATE INDEX documents_held ON documents (tenant, batch_id, id) WHERE held = 1;
CREATE INDEX batches_of_engines ON batches (tenant, id)
    WHERE engine_job IS NOT NULL AND engine_ended = 0;
