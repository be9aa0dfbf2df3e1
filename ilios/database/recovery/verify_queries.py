"""What is asked of a database that was made anew, to hold it against the log."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ilios.database.connection import read_only_uri

_STATES = "SELECT tenant, id, state, requeues, submitted_sequence FROM documents"
_BATCHES = "SELECT tenant, id FROM batches"

# Pages are known of what was converted, and only of that.
_MISBILLED = """
SELECT d.tenant, d.id FROM documents AS d
LEFT JOIN usage AS u
    ON u.tenant = d.tenant AND u.document_id = d.id AND u.operation = d.operation
WHERE (d.pages IS NOT NULL) <> (u.document_id IS NOT NULL)
UNION ALL
SELECT u.tenant, u.document_id FROM usage AS u
LEFT JOIN documents AS d
    ON d.tenant = u.tenant AND d.id = u.document_id AND d.operation = u.operation
WHERE d.id IS NULL
"""


def document_states(database: Path) -> Iterator[tuple[str, str, str, int, int]]:
    """Yield of every document tenant, id, state, requeues and the sequence of its submission."""
    with closing(sqlite3.connect(read_only_uri(database), uri=True)) as connection:
        yield from connection.execute(_STATES)


def batch_ids(database: Path) -> set[tuple[str, str]]:
    """Return tenant and id of every batch."""
    with closing(sqlite3.connect(read_only_uri(database), uri=True)) as connection:
        return set(connection.execute(_BATCHES))


def billing_mismatches(database: Path) -> list[tuple[str, str]]:
    """Return the documents that were completed without usage, or have usage without that."""
    with closing(sqlite3.connect(read_only_uri(database), uri=True)) as connection:
        return list(connection.execute(_MISBILLED))
