"""Checks that the database is there and one of ilios. Nothing is created."""

from collections.abc import Iterator

from ilios.data_directory import refuse_foreign_database
from ilios.database.foreign import ForeignDatabase
from ilios.integrity.missing_database import DatabaseMissing, check_snapshots
from ilios.preflight.findings import Finding, problem
from ilios.settings.settings import Settings


def check(settings: Settings) -> Iterator[Finding]:
    """Yield a problem where a start would be refused, or would wait."""
    try:
        refuse_foreign_database(settings)
        check_snapshots(settings)
    except DatabaseMissing as missing:
        yield problem(f"LOCAL_DB_PATH: {missing}")
    except ForeignDatabase as foreign:
        yield problem(f"LOCAL_DB_PATH: {foreign}")
