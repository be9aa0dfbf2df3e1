"""The data directory of a service that does not run: its rows are changed, its files listed."""

import sqlite3
from pathlib import Path

DAY = 86_400_000  # milliseconds


def change(data: Path, statement: str) -> None:
    """Change rows, such as their times, while nobody else has the database open."""
    with sqlite3.connect(data / "ilios.db") as database:
        database.execute(statement)
    database.close()


def blob_names(data: Path) -> set[str]:
    """Return the names of the blobs in the store."""
    return {path.name for path in (data / "blobs").rglob("*+*")}
