"""Audit of a database: every document with its bills, every batch, and the integrity of the file.

Blocks, and opens the file separately.
"""

from contextlib import closing
from pathlib import Path

from msgspec import Struct

from ilios.database.connection import read_only_uri
from ilios.database.encryption import open_sqlite

_DOCUMENTS = """
SELECT
    iif(d.tenant = 'default', d.id, d.tenant || '/' || d.id), d.state, d.code, d.reason, d.pages,
    d.batch_id, d.original_sha256, d.original_key, d.markdown_key, d.result_key,
    d.billed_pages, d.reference, count(u.document_id), total(u.pages)
FROM documents AS d
LEFT JOIN usage AS u ON u.tenant = d.tenant AND u.document_id = d.id
GROUP BY d.tenant, d.id
"""

_BATCHES = "SELECT id, completed_at IS NOT NULL FROM batches"

_BILLED_FOR_NOTHING = """
SELECT document_id FROM usage AS u
WHERE NOT EXISTS (SELECT 1 FROM documents AS d WHERE d.tenant = u.tenant AND d.id = u.document_id)
"""

_INTEGRITY = "PRAGMA integrity_check"
_REFERENCES = "PRAGMA foreign_key_check"


class AuditedDocument(Struct, frozen=True, kw_only=True):
    """A document in the database, with the number of its bills and billed pages.

    ``name`` is its id, with the tenant and a slash in front if that is not the default one.
    ``keys`` are those of its blobs. ``pages_to_bill`` are the pages that its engine has billed,
    None if they are its ``pages``.
    """

    name: str
    state: str
    code: str | None = None
    reason: str | None = None
    pages: int | None = None
    pages_to_bill: int | None = None
    batch: str | None = None
    sha256: str | None = None
    reference: str | None = None
    keys: frozenset[str] = frozenset()
    bills: int = 0
    billed_pages: int = 0


class Audit(Struct, frozen=True, kw_only=True):
    """The content of a database, for comparison with what clients were promised.

    ``batches`` maps each batch to whether it is completed; ``damage`` are complaints of SQLite.
    """

    documents: dict[str, AuditedDocument]
    batches: dict[str, bool]
    billed_for_nothing: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()


def read_audit(database: Path) -> Audit:
    """Read a database.

    :raises sqlite3.Error: it cannot be read.
    """
    with closing(open_sqlite(read_only_uri(database))) as connection:
        documents = [
            AuditedDocument(
                name=name,
                state=state,
                code=code,
                reason=reason,
                pages=pages,
                pages_to_bill=to_bill,
                batch=batch,
                sha256=sha256,
                reference=reference,
                keys=frozenset(key for key in (original, markdown, result) if key),
                bills=bills,
                billed_pages=int(billed_pages),
            )
            for (
                name, state, code, reason, pages, batch, sha256, original, markdown, result,
                to_bill, reference, bills, billed_pages,
            ) in connection.execute(_DOCUMENTS)
        ]  # fmt: skip
        complaints = [str(row[0]) for row in connection.execute(_INTEGRITY) if row[0] != "ok"]
        complaints += [
            f"row of {row[0]} refers to nothing" for row in connection.execute(_REFERENCES)
        ]
        return Audit(
            documents={one.name: one for one in documents},
            batches={name: bool(closed) for name, closed in connection.execute(_BATCHES)},
            billed_for_nothing=tuple(row[0] for row in connection.execute(_BILLED_FOR_NOTHING)),
            damage=tuple(complaints),
        )
