"""Databases in the shape of that of the original service."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

ORIGINAL = """
CREATE TABLE documents (id text PRIMARY KEY NOT NULL, file_name text NOT NULL, status text);
CREATE TABLE usage (id text PRIMARY KEY NOT NULL, document_id text REFERENCES documents (id));
CREATE TABLE job_queue (id text PRIMARY KEY NOT NULL, payload text, worker_id text);
CREATE TABLE batches (id text PRIMARY KEY NOT NULL);
INSERT INTO documents VALUES ('cm5x', 'invoice.pdf', 'completed');
"""


def make_original(path: Path, journal: str = "DELETE") -> None:
    """Make a database in the shape of that of the original service."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.executescript(ORIGINAL)


def make_original_of_a_running_service(path: Path) -> None:
    """Make one all of whose tables are in the write-ahead log still."""
    with closing(sqlite3.connect(path.with_name("open.db"))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.executescript(ORIGINAL)
        for suffix in ("", "-wal"):
            shutil.copyfile(path.with_name(f"open.db{suffix}"), path.with_name(path.name + suffix))


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
