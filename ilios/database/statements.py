"""The SQL statements of the service. Parameters are named."""

from collections.abc import Iterable

from schemas.states import ARCHIVABLE_STATES, EXPIRABLE_STATES, READABLE_STATES, UNFINISHED_STATES


def _in(states: Iterable[str]) -> str:
    """Return the condition on ``state`` in the form in which the partial indexes have it.

    SQLite uses such an index only for a condition that is written in the same words.
    """
    names = ", ".join(f"'{state}'" for state in states)
    return f"state IN ({names})"


UNFINISHED = _UNFINISHED = _in(UNFINISHED_STATES)
_EXPIRABLE = _in(EXPIRABLE_STATES)
_ARCHIVABLE, _READABLE = _in(ARCHIVABLE_STATES), _in(READABLE_STATES)

BEGIN = "BEGIN IMMEDIATE"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
SAVEPOINT = "SAVEPOINT one_write"
RELEASE = "RELEASE one_write"
ROLLBACK_TO = "ROLLBACK TO one_write"

GET_CURSOR = "SELECT stream, created, sequence FROM cursors WHERE reader = :reader"

SET_CURSOR = """
INSERT INTO cursors (reader, stream, created, sequence)
VALUES (:reader, :stream, :created, :sequence)
ON CONFLICT (reader) DO UPDATE SET
    stream = excluded.stream, created = excluded.created, sequence = excluded.sequence
"""

# The sequence before that of the oldest unfinished document, at most that of the cursor.
ENDED_FLOOR = f"""
SELECT min(sequence, coalesce((
    SELECT min(submitted_sequence) - 1 FROM documents INDEXED BY documents_unfinished
    WHERE {_UNFINISHED}
), sequence)) FROM cursors WHERE reader = :reader AND created = :created AND sequence <= :last
"""  # noqa: S608  # all of it is ours

ANY_SUBMITTED_BETWEEN = """
SELECT EXISTS (SELECT 1 FROM documents WHERE submitted_sequence BETWEEN :first AND :last)
"""

RESET_CURSOR = "DELETE FROM cursors WHERE reader = :reader"

# A terminal state is final, except that a failed document may be requeued. Events carry the number
# of requeues, and those of before a requeue have no effect.
_OPEN = f"""
    (
        {_UNFINISHED} AND requeues <= :requeues
        OR state = 'failed' AND requeues < :requeues
    )
"""
_RESET_END = """
    finished_at = NULL, finished_sequence = NULL, code = NULL, reason = NULL, retryable = NULL,
    attempts = NULL
"""

# Documents of a batch are only inserted with the first batch of its id: a second one must not add
# documents to it.
_OF_FIRST_BATCH = """(:batch_id IS NULL OR EXISTS (
    SELECT 1 FROM batches
    WHERE tenant = :tenant AND id = :batch_id AND submitted_sequence = :sequence
))"""
# Only the first submission with an id has an effect. A requeued one is in work at once only with
# the original that it had.
INSERT_DOCUMENT = f"""
INSERT INTO documents (
    tenant, id, state, file_name, content_type, file_size, priority, retention_days, operation,
    submitted_at, submitted_sequence, expires_at, batch_id, fingerprint, original_key,
    original_sha256, requeues, options, held, reference, metadata, deadline
) SELECT
    :tenant, :id, :state, :file_name, :content_type, :file_size, :priority, :retention_days,
    :operation, :submitted_at, :sequence, :submitted_at + :retention_days * 86400000, :batch_id,
    :fingerprint, :key, :sha256, :requeues, :options, :held, :reference, :metadata,
    :deadline
WHERE {_OF_FIRST_BATCH}
ON CONFLICT (tenant, id) DO UPDATE SET
    state = iif(
        documents.original_key = excluded.original_key
            AND documents.original_sha256 = excluded.original_sha256,
        excluded.state, 'pending'
    ),
    requeues = excluded.requeues, {_RESET_END}
WHERE (documents.{_UNFINISHED} OR documents.state = 'failed')
    AND documents.requeues < excluded.requeues
"""

# A rejected document ended with its submission. Its row tells the publisher what is wrong. A valid
# submission of this id replaces it, also an archived or expired one, unless its owner deleted it.
INSERT_REJECTED = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, priority, retention_days, operation, submitted_at,
    submitted_sequence, expires_at, finished_at, finished_sequence, code, reason, retryable,
    attempts, reference, metadata
) VALUES (
    :tenant, :id, 'failed', :file_name, :content_type, :priority, :retention_days, :operation, :at,
    :sequence, :at + :retention_days * 86400000, :at, :sequence, :code, :reason, FALSE, 1,
    :reference, :metadata
) ON CONFLICT (tenant, id) DO NOTHING
"""
DELETE_REJECTED = f"""
DELETE FROM documents
WHERE tenant = :tenant AND id = :id AND code = 'invalid_event'
    AND finished_sequence = submitted_sequence AND removal IS NOT 'requested'
    AND {_OF_FIRST_BATCH}
"""  # noqa: S608  # likewise
IS_REJECTED = """
SELECT 1 FROM documents
WHERE tenant = :tenant AND id = :id AND state = 'failed'
    AND submitted_sequence = :sequence AND finished_sequence = :sequence
"""

INSERT_BATCH = """
INSERT INTO batches (
    tenant, id, priority, retention_days, submitted_at, submitted_sequence, fingerprint,
    engine_batch, reference, metadata
) VALUES (
    :tenant, :id, :priority, :retention_days, :submitted_at, :sequence, :fingerprint,
    :engine_batch, :reference, :metadata
) ON CONFLICT (tenant, id) DO NOTHING
"""

SET_ENGINE_JOB = """
UPDATE batches SET
    engine_job = :job, engine_status = :status, engine_ended = :ended,
    engine_total = :total, engine_completed = :completed, engine_failed = :failed
WHERE tenant = :tenant AND id = :id AND engine_batch AND NOT engine_ended
"""

SET_BATCH_COMPLETED = """
UPDATE batches SET completed_at = :at WHERE tenant = :tenant AND id = :id AND completed_at IS NULL
"""

SET_FETCHED = f"""
UPDATE documents SET
    state = 'processing', requeues = :requeues, {_RESET_END},
    content_type = :content_type, file_size = :size, original_key = :key, original_sha256 = :sha256,
    held = :held
WHERE tenant = :tenant AND id = :id AND {_OPEN}
"""  # noqa: S608  # likewise

# Guarded by the state, so that a terminal state never regresses and is reached once.
SET_COMPLETED = f"""
UPDATE documents SET
    state = 'completed', requeues = :requeues, finished_at = :at, finished_sequence = :sequence,
    code = NULL, reason = NULL, retryable = NULL, attempts = NULL,
    markdown_key = :key, markdown_size = :size, markdown_sha256 = :sha256,
    pages = :pages, engine = :engine, model = :model, seconds = :seconds,
    input_tokens = :input_tokens, output_tokens = :output_tokens, held = 0,
    result_key = :result_key, result_size = :result_size, result_sha256 = :result_sha256,
    billed_pages = :billed_pages, fallback_from = :fallback_from,
    warnings = :warnings, quality = :quality, partial = :partial
WHERE tenant = :tenant AND id = :id AND {_OPEN}
"""  # noqa: S608  # likewise

# Only for the conversion that completed the document, and once even if applied again.
INSERT_USAGE = """
INSERT INTO usage (
    tenant, document_id, operation, engine, model, pages, input_tokens, output_tokens, created_at,
    unit_micros, base_micros, margin_percent, total_micros
)
SELECT
    tenant, id, operation, engine, model, ifnull(billed_pages, pages), input_tokens, output_tokens,
    finished_at, :unit_micros, :base_micros, :margin_percent, :total_micros
FROM documents
WHERE tenant = :tenant AND id = :id AND state = 'completed' AND finished_sequence = :sequence
ON CONFLICT (tenant, document_id, operation) DO NOTHING
"""

SET_FAILED = f"""
UPDATE documents SET
    state = 'failed', requeues = :requeues, finished_at = :at, finished_sequence = :sequence,
    code = :code, reason = :reason, retryable = :retryable, attempts = :attempts
WHERE tenant = :tenant AND id = :id AND {_OPEN}
"""  # noqa: S608  # likewise

# Only ended documents, once; failed ones without Markdown are retained as long. Documents requeued
# since then have not ended.
SET_ARCHIVED = f"""
UPDATE documents SET
    state = 'archived', archived_at = :at,
    original_key = iif(original_key IS NULL, NULL, :key) -- only an existing one moved
WHERE tenant = :tenant AND id = :id AND {_ARCHIVABLE} AND requeues <= :requeues
"""  # noqa: S608  # likewise

# A cancellation may be late and a deletion early: the state decides which of the two it is.
SET_REMOVED = f"""
UPDATE documents SET
    state = iif({_UNFINISHED}, 'cancelled', 'deleted'),
    code = iif({_UNFINISHED}, 'cancelled', code),
    reason = iif({_UNFINISHED}, 'The document was cancelled.', reason),
    retryable = iif({_UNFINISHED}, 0, retryable),
    finished_at = coalesce(finished_at, :at),
    finished_sequence = coalesce(finished_sequence, :sequence),
    removed_at = :at, removal = :cause, reference = NULL, metadata = NULL
WHERE tenant = :tenant AND id = :id AND removed_at IS NULL
    AND (
        :cause = 'requested'
        OR {_EXPIRABLE} AND requeues <= :requeues
    )
"""  # noqa: S608  # likewise

# After SET_REMOVED: what the client attached to a batch goes with the last of its documents.
ERASE_BATCH_LABELS = """
UPDATE batches SET reference = NULL, metadata = NULL
WHERE tenant = :tenant
    AND id = (SELECT batch_id FROM documents WHERE tenant = :tenant AND id = :id)
    AND coalesce(reference, metadata) IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM documents AS d
        WHERE d.tenant = batches.tenant AND d.batch_id = batches.id AND d.removed_at IS NULL
    )
"""

# :names is a JSON array of [tenant, id].
SET_ERASED = """
UPDATE documents SET erased_at = :at, original_key = NULL, markdown_key = NULL, result_key = NULL
WHERE (tenant, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:names))
    AND removed_at IS NOT NULL
"""

_SELECT_DOCUMENT = """
SELECT
    d.tenant, d.id, d.state, d.file_name, d.content_type, d.file_size, d.priority,
    d.retention_days, d.operation, d.submitted_at, d.finished_at, d.original_key,
    d.original_sha256, d.markdown_key, d.markdown_size, d.markdown_sha256, d.pages, d.engine,
    d.model, d.seconds, d.input_tokens, d.output_tokens, d.code, d.reason, d.retryable,
    d.batch_id, d.fingerprint, d.archived_at, d.removed_at, d.removal, d.erased_at,
    d.requeues, d.options, d.held, d.result_key, d.result_size,
    d.result_sha256, d.fallback_from, d.warnings, d.quality, d.partial, d.reference,
    d.metadata, d.deadline
FROM documents AS d
"""

DOCUMENT = _SELECT_DOCUMENT + "WHERE d.tenant = :tenant AND d.id = :id"

_PROGRESS = f"""
    count(d.id) AS total,
    total(d.state = 'pending') AS pending,
    total(d.state = 'processing') AS processing,
    total(NOT d.{_UNFINISHED} AND d.code IS NULL) AS completed,
    total(NOT d.{_UNFINISHED} AND d.code IS NOT NULL) AS failed
"""

SELECT_BATCH = (
    """
SELECT
    b.tenant, b.id, b.priority, b.retention_days, b.submitted_at, b.completed_at, b.fingerprint,
    b.engine_batch, b.engine_job, b.engine_status, b.reference, b.metadata, b.engine_total,
    b.engine_completed, b.engine_failed,
"""
    + _PROGRESS
    + """
FROM batches AS b
LEFT JOIN documents AS d ON d.tenant = b.tenant AND d.batch_id = b.id
"""
)
BATCH = f"{SELECT_BATCH}WHERE b.tenant = :tenant AND b.id = :id GROUP BY b.tenant, b.id"

# With its index, or SQLite reads all later documents of the tenant to avoid sorting a hundred.
DOCUMENTS_OF_BATCH = (
    _SELECT_DOCUMENT
    + """
INDEXED BY documents_of_batch
WHERE d.tenant = :tenant AND d.batch_id = :id AND d.id > :after
ORDER BY d.id LIMIT :limit
"""
)

# Documents that wait for a batch of their engine.
HELD_DOCUMENTS = (
    _SELECT_DOCUMENT
    + f"""
INDEXED BY documents_held
WHERE d.held = 1 AND d.{_UNFINISHED}
ORDER BY d.tenant, d.batch_id, d.id LIMIT :limit
"""
)

ENGINE_JOBS = """
SELECT tenant, id FROM batches INDEXED BY batches_of_engines
WHERE engine_job IS NOT NULL AND engine_ended = 0
"""

# Every document of every incomplete batch, with whether it has ended.
OPEN_BATCHES = f"""
SELECT b.tenant, b.id, d.id, NOT d.{_UNFINISHED}
FROM batches AS b
JOIN documents AS d ON d.tenant = b.tenant AND d.batch_id = b.id
WHERE b.completed_at IS NULL
ORDER BY b.tenant, b.id
"""  # noqa: S608  # likewise

_SELECT_EXPIRED = _SELECT_DOCUMENT + f"WHERE d.expires_at <= :now AND d.{_EXPIRABLE}"
_OLDEST_FIRST = " ORDER BY d.expires_at LIMIT :limit"

EXPIRED_DOCUMENTS = _SELECT_EXPIRED + _OLDEST_FIRST

# Without archived documents, whose number grows. The longer condition is repeated, because only it
# makes SQLite use the index.
EXPIRED_NOT_ARCHIVED = _SELECT_EXPIRED + f" AND d.{_ARCHIVABLE}" + _OLDEST_FIRST

COUNT_EXPIRABLE = f"SELECT count(*) FROM documents WHERE {_EXPIRABLE}"  # noqa: S608  # likewise

DOCUMENTS_TO_ERASE = (
    _SELECT_DOCUMENT
    + "WHERE d.removed_at IS NOT NULL AND d.erased_at IS NULL ORDER BY d.removed_at LIMIT :limit"
)

UNFINISHED_DOCUMENTS = (
    _SELECT_DOCUMENT
    + f"""
WHERE d.{_UNFINISHED}
    AND (d.submitted_at <= :before OR d.submitted_at > :future)
    AND NOT (d.held AND d.state = 'processing')
    AND (d.submitted_at, d.tenant, d.id) > (:after, :after_tenant, :after_id)
ORDER BY d.submitted_at, d.tenant, d.id LIMIT :limit
"""
)

OVERDUE_DOCUMENTS = (
    _SELECT_DOCUMENT
    + f"""
INDEXED BY documents_due
WHERE d.deadline <= :now AND d.requeues = 0 AND d.{_UNFINISHED}
ORDER BY d.deadline LIMIT :limit
"""
)

# :names as above.
DOCUMENTS_BY_ID = (
    _SELECT_DOCUMENT
    + """
JOIN json_each(:names) AS name
    ON d.tenant = name.value ->> 0 AND d.id = name.value ->> 1
"""
)

# The oldest and the newest ended documents, and the oldest unfinished ones.
_SAMPLE_BLOBS = """
SELECT * FROM (
    SELECT original_key, markdown_key FROM documents INDEXED BY {index}
    WHERE {which} AND submitted_at > :since AND coalesce(original_key, markdown_key) IS NOT NULL
    ORDER BY {order} LIMIT :limit
)
"""
_ENDED_INDEX, _UNFINISHED_INDEX = "documents_expiring", "documents_unfinished"
SAMPLED_BLOBS = "UNION ALL".join(
    _SAMPLE_BLOBS.format(index=index, which=which, order=order)
    for index, which, order in (
        (_ENDED_INDEX, f"{_EXPIRABLE} AND state = 'completed'", "expires_at"),
        (_ENDED_INDEX, f"{_EXPIRABLE} AND state = 'completed'", "expires_at DESC"),
        (_ENDED_INDEX, f"{_EXPIRABLE} AND state = 'archived'", "expires_at DESC"),
        (_UNFINISHED_INDEX, _UNFINISHED, "submitted_at"),
    )
)

# :names is a JSON array of [tenant, id]. Archived documents have been completed, too.
COMPLETED_BY_ID = (
    _SELECT_DOCUMENT
    + f"""
JOIN json_each(:names) AS name
    ON d.tenant = name.value ->> 0 AND d.id = name.value ->> 1
WHERE d.{_READABLE}
"""
)

PING = "SELECT 1"
