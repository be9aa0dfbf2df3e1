"""What snapshots of the database know, so that they are ordered and removed by that alone.

Their names carry the wall clock, which may have been wrong when they were made.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from actors.writes import Cursor
from ilios.database.recovery.damage import READ_ERRORS

_UNKNOWN_RUNNING_TIME = -1  # milliseconds of running
_COUNT_DOCUMENTS = "SELECT count(*) FROM documents"
_COUNT_BILLS = "SELECT count(*) FROM usage"
_CURSORS = "SELECT stream, created, sequence FROM cursors ORDER BY sequence DESC"
_RAN = "SELECT ran FROM running"
_COLUMNS = "SELECT name FROM pragma_table_info(:table)"
_ATTACH = "ATTACH :file AS other"
_OTHER_COLUMNS = "SELECT name FROM pragma_table_info(:table, 'other')"

# How far a document has come. Only a requeue, which is counted, takes it back.
_STAGE = (
    "CASE {0}.state WHEN 'pending' THEN 0 WHEN 'processing' THEN 0 WHEN 'failed' THEN 1 "
    "WHEN 'completed' THEN 1 WHEN 'archived' THEN 2 ELSE 3 END"
)
_MORE_DOCUMENTS = """
SELECT EXISTS (
    SELECT 1 FROM other.documents AS o
    LEFT JOIN main.documents AS n ON n.tenant = o.tenant AND n.id = o.id
    WHERE n.id IS NULL OR (({requeues_n}, {stage_n}) < ({requeues_o}, {stage_o}))
)
"""
_MORE_BILLS = """
SELECT EXISTS (
    SELECT 1 FROM other.usage AS o
    LEFT JOIN main.usage AS n
        ON n.tenant = o.tenant AND n.document_id = o.document_id AND n.operation = o.operation
    WHERE n.document_id IS NULL
)
"""
_MORE_BATCHES = """
SELECT EXISTS (
    SELECT 1 FROM other.batches AS o
    LEFT JOIN main.batches AS n ON n.tenant = o.tenant AND n.id = o.id
    WHERE n.id IS NULL OR (o.completed_at IS NOT NULL AND n.completed_at IS NULL)
)
"""


class SnapshotContent(Struct, frozen=True, order=True):
    """How much a snapshot knows: rows are never deleted, so more of them are more knowledge.

    Of two with the same rows the one whose database had ``ran`` for longer is the later one; those
    of earlier versions do not tell, and come before all that do. ``sequence`` is how far it had
    read.
    """

    documents: int
    bills: int
    running_time: timedelta
    sequence: int


def read_content(snapshot: Path) -> SnapshotContent | None:
    """Return how much a snapshot knows; None where that cannot be read."""
    try:
        with open_snapshot(snapshot) as connection:
            ((documents,),) = connection.execute(_COUNT_DOCUMENTS).fetchall()
            ((bills,),) = connection.execute(_COUNT_BILLS).fetchall()
            ran = _UNKNOWN_RUNNING_TIME
            with suppress(sqlite3.OperationalError):  # it is of an earlier version
                ran = max((row[0] for row in connection.execute(_RAN)), default=0)
            cursor = next(iter(connection.execute(_CURSORS)), None)
            sequence = Cursor(*cursor).sequence if cursor else 0
            return SnapshotContent(documents, bills, timedelta(milliseconds=ran), sequence)
    except (sqlite3.Error, OverflowError, TypeError, ValueError):
        return None


def contains_all_of(
    one: Path, other: Path, open_connections: list[sqlite3.Connection] | None = None
) -> bool:
    """Whether ``one`` has every document, bill and batch of ``other``, as far along at least.

    Where either cannot be read this is not certain, and so it is not so. A connection is in
    ``reading`` while it is read, to be interrupted.
    """
    open_connections = [] if open_connections is None else open_connections
    try:
        with open_snapshot(one) as connection:
            open_connections.append(connection)
            try:
                connection.execute(_ATTACH, {"file": immutable_uri(other)})
                return not any(
                    connection.execute(statement).fetchone()[0]
                    for statement in _comparison_queries(connection)
                )
            finally:
                open_connections.remove(connection)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    except READ_ERRORS:
        return False


def _comparison_queries(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the questions whether the other one knows more; it may be of an earlier version."""
    requeues = [
        f"{alias}.requeues"
        if "requeues" in _column_names(connection, question, "documents")
        else "0"
        for alias, question in (("n", _COLUMNS), ("o", _OTHER_COLUMNS))
    ]
    yield _MORE_DOCUMENTS.format(
        stage_n=_STAGE.format("n"),
        stage_o=_STAGE.format("o"),
        requeues_n=requeues[0],
        requeues_o=requeues[1],
    )
    yield _MORE_BILLS
    if _column_names(connection, _OTHER_COLUMNS, "batches"):
        yield _MORE_BATCHES


def _column_names(connection: sqlite3.Connection, question: str, table: str) -> set[str]:
    return {name for (name,) in connection.execute(question, {"table": table})}


@contextmanager
def open_snapshot(snapshot: Path) -> Iterator[sqlite3.Connection]:
    """Open a snapshot, which nobody writes to."""
    with closing(sqlite3.connect(immutable_uri(snapshot), uri=True)) as connection:
        yield connection


def immutable_uri(path: Path) -> str:
    """Return the URI by which SQLite looks for no write-ahead log, and leaves no files beside."""
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"
