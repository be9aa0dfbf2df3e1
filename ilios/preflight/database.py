"""Looks whether the database is there that snapshots are of. Nothing is made."""

from collections.abc import Iterator

from ilios.missing_database import DatabaseMissing, refuse_by_snapshots
from ilios.preflight.findings import Finding, problem
from ilios.settings import Settings


def tried(settings: Settings) -> Iterator[Finding]:
    """Yield what a start would wait for."""
    try:
        refuse_by_snapshots(settings)
    except DatabaseMissing as missing:
        yield problem(f"LOCAL_DB_PATH: {missing}")
