-- What the service that ilios replaces had as tables, with its columns: times are seconds, costs
-- cents, the content is in the blob store, and the tenant is in the place of the key. The queue
-- has one job for each document, and documents that were deleted are archived ones.
-- JSON is joined from texts: its functions are not allowed in a view under trusted_schema = OFF.
-- A later migration that renames a table drops the views first: SQLite checks them at a rename.

CREATE VIEW original_documents AS
SELECT
    id,
    file_name,
    content_type AS mime_type,
    file_size,
    original_key AS s3_key,
    NULL AS content,
    iif(pages IS NULL, NULL,
        '{"model":"' || replace(replace(model, '\', '\\'), '"', '\"')
        || '","extractedPages":' || pages
        || ',"processingTimeMs":' || CAST(round(ifnull(seconds, 0) * 1000) AS INTEGER) || '}'
    ) AS metadata,
    CASE
        WHEN state = 'cancelled' THEN 'failed'
        WHEN state = 'deleted' THEN 'archived'
        ELSE state
    END AS status,
    reason AS error,
    submitted_at / 1000 AS created_at,
    finished_at / 1000 AS processed_at,
    coalesce(archived_at, iif(state = 'deleted', removed_at, NULL)) / 1000 AS archived_at,
    retention_days,
    NULL AS user_id,
    tenant AS api_key,
    batch_id
FROM documents;

CREATE VIEW original_usage AS
SELECT
    document_id || '-' || operation AS id,
    document_id,
    NULL AS user_id,
    tenant AS api_key,
    operation,
    input_tokens,
    output_tokens,
    (base_micros + 5000) / 10000 AS base_cost_cents,
    margin_percent AS margin_rate,
    (total_micros + 5000) / 10000 AS total_cost_cents,
    created_at / 1000 AS created_at
FROM usage;

CREATE VIEW job_queue AS
SELECT
    id,
    id AS document_id,
    operation AS type,
    CASE
        WHEN state = 'pending' AND requeues > 0 THEN 'retrying'
        WHEN state IN ('pending', 'processing') THEN state
        WHEN code IS NULL THEN 'completed'
        ELSE 'failed'
    END AS status,
    priority,
    coalesce(attempts, iif(state = 'pending', 0, 1)) AS attempts,
    4 AS max_attempts,
    '{"documentId":"' || id || '"}' AS payload,
    iif(pages IS NULL, NULL, '{"pages":' || pages || '}') AS result,
    reason AS error,
    NULL AS worker_id,
    coalesce((
        SELECT h.at FROM history AS h
        WHERE h.tenant = d.tenant AND h.document_id = d.id AND h.requeues = d.requeues
            AND h.event = 'requeued'
    ), submitted_at) / 1000 AS scheduled_at,
    iif(state = 'pending', NULL, coalesce(
        finished_at - CAST(round(seconds * 1000) AS INTEGER),
        (
            SELECT h.at FROM history AS h
            WHERE h.tenant = d.tenant AND h.document_id = d.id AND h.requeues = d.requeues
                AND h.event = 'fetched'
        ),
        submitted_at
    )) / 1000 AS started_at,
    coalesce(finished_at, removed_at) / 1000 AS completed_at,
    submitted_at / 1000 AS created_at
FROM documents AS d;

CREATE VIEW original_batches AS
SELECT
    id,
    NULL AS user_id,
    tenant AS api_key,
    total_documents,
    completed_documents,
    failed_documents,
    CASE
        WHEN failed_documents = total_documents THEN 'failed'
        WHEN completed_documents + failed_documents = total_documents THEN 'completed'
        WHEN completed_documents + failed_documents > 0 THEN 'processing'
        ELSE 'pending'
    END AS status,
    priority,
    iif(engine_batch, 'mistral', 'local') AS batch_type,
    engine_job AS mistral_batch_job_id,
    NULL AS mistral_input_file_id,
    NULL AS mistral_output_file_id,
    submitted_at / 1000 AS created_at,
    completed_at / 1000 AS completed_at,
    metadata
FROM (
    SELECT
        b.*,
        count(d.id) AS total_documents,
        ifnull(sum(d.state NOT IN ('pending', 'processing') AND d.code IS NULL), 0)
            AS completed_documents,
        ifnull(sum(d.state NOT IN ('pending', 'processing') AND d.code IS NOT NULL), 0)
            AS failed_documents
    FROM batches AS b
    LEFT JOIN documents AS d
        ON d.tenant = b.tenant AND d.batch_id = b.id AND d.batch_id IS NOT NULL
    GROUP BY b.tenant, b.id
);
