-- Lists of documents and batches, in the order of their submission. The state is the one that
-- clients see: an archived document whose conversion failed is a failed one.

CREATE INDEX documents_listed ON documents (
    tenant, iif(state = 'archived' AND markdown_key IS NULL, 'failed', state), submitted_at, id
);
CREATE INDEX documents_by_reference ON documents (tenant, reference, submitted_at, id)
    WHERE reference IS NOT NULL;
CREATE INDEX batches_listed ON batches (tenant, submitted_at, id);
CREATE INDEX batches_by_reference ON batches (tenant, reference, submitted_at, id)
    WHERE reference IS NOT NULL;
