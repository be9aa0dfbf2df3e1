"""Verification of a rebuilt database: by its file, by a second rebuild, and by the log."""

from contextlib import closing
from pathlib import Path

from msgspec import Struct

from actors.persister import NAME
from bus.reader import LogExtent
from ilios.database.connection import read_only_uri
from ilios.database.encryption import open_sqlite
from ilios.database.recovery import snapshots
from ilios.database.recovery.comparison import PRIMARY_KEYS, digest, find_fault, read_cursor
from ilios.database.recovery.replay import LogIndex, Ref
from schemas.states import UNFINISHED_STATES

_FOREIGN_KEYS = "PRAGMA foreign_key_check"

_DOCUMENTS = "SELECT tenant, id, state, requeues, pages IS NOT NULL FROM documents"
_DOCUMENT_REFS = "SELECT tenant, id FROM documents"
_BATCH_REFS = "SELECT tenant, id FROM batches"
# Only a converted document has pages.
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


class Disagreement(Struct, frozen=True):
    """A document or batch of the new database that contradicts the log."""

    name: Ref
    why: str


def find_faults(new: Path, control: Path, extent: LogExtent | None) -> list[str]:
    """Return the faults of a new database, without a look at single documents.

    Its file is checked, its cursor is compared with the log, and its rows with those of
    ``control``, which was made of the same events in other transactions.
    """
    with closing(open_sqlite(read_only_uri(new))) as ours:
        faults = [fault] if (fault := find_fault(ours)) else []
        if ours.execute(_FOREIGN_KEYS).fetchone() is not None:
            faults.append("a row refers to one that does not exist")
        cursor = read_cursor(ours, NAME)
        if extent and extent.last and (cursor is None or cursor[0] != extent.created):
            faults.append("its cursor is on another log")
        elif extent and cursor and cursor[1] < extent.last:
            faults.append(f"its cursor is at {cursor[1]}, the log ends at {extent.last}")
        with closing(open_sqlite(read_only_uri(control))) as theirs:
            for table, key in PRIMARY_KEYS.items():
                every = f"SELECT * FROM {table}"  # noqa: S608  # the names are constants
                if digest(ours, every, key) != digest(theirs, every, key):
                    faults.append(f"a second rebuild has other rows of {table}")
    return faults


def check_against_log(new: Path, index: LogIndex, base: Path | None) -> list[Disagreement]:
    """Return the documents and batches of a new database that contradict the log.

    Every submitted document and batch exists, and no document that is neither on the log nor in the
    snapshot ``base``. A document whose end is on the log is not unfinished. Converted documents,
    and only those, are billed.
    """
    found: list[Disagreement] = []
    expected = index.submitted | index.rejected
    if base is not None:
        with snapshots.open_snapshot(base) as theirs:
            expected.update(theirs.execute(_DOCUMENT_REFS))
    missing = set(index.submitted)
    with closing(open_sqlite(read_only_uri(new))) as ours:
        for tenant, name, state, requeues, has_pages in ours.execute(_DOCUMENTS):
            ref = (tenant, name)
            missing.discard(ref)
            if ref not in expected:
                why = "it is neither on the log nor in the snapshot"
            # It may have been requeued after the last end that the log has.
            elif state in UNFINISHED_STATES and index.ends.get(ref, -1) >= requeues:
                why = f"it is {state}, its end is on the log"
            elif has_pages and base is None and ref not in index.converted:
                why = "it is billed, the log has no conversion of it"
            else:
                continue
            found.append(Disagreement(ref, why))
        misbilled = [
            Disagreement(ref, "it is completed and not billed, or billed and not completed")
            for ref in ours.execute(_MISBILLED)
        ]
        batches = set(ours.execute(_BATCH_REFS))
    found += [Disagreement(ref, "it is missing, and was submitted") for ref in sorted(missing)]
    lost = index.submitted_batches - batches
    found += [Disagreement(ref, "the batch is missing") for ref in sorted(lost)]
    return found + misbilled
