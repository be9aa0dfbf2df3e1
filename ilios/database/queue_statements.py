"""SQL statements about the documents that wait to be converted."""

from ilios.database.statements import UNFINISHED

# By the index of unfinished documents, so that its cost does not grow with those that have ended.
QUEUE = f"""
SELECT tenant, id, priority, submitted_sequence, content_type, ifnull(file_size, 0), options
FROM documents INDEXED BY documents_unfinished
WHERE {UNFINISHED} AND NOT held
ORDER BY submitted_at LIMIT :limit
"""  # noqa: S608  # all of it is ours
