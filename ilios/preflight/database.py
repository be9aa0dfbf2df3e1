"""Looks whether the database is there that snapshots are of. Nothing is made."""

from collections.abc import Iterator

from ilios.integrity.missing_database import DatabaseMissing, check_snapshots
from ilios.preflight.findings import Finding, problem
from ilios.settings.settings import Settings


def check(settings: Settings) -> Iterator[Finding]:
    """Yield what a start would wait for."""
    try:
        check_snapshots(settings)
    except DatabaseMissing as missing:
        yield problem(f"LOCAL_DB_PATH: {missing}")
