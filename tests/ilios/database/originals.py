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


FULL_SCHEMA = """
CREATE TABLE documents (
    id text PRIMARY KEY NOT NULL, file_name text NOT NULL, mime_type text NOT NULL,
    file_size integer NOT NULL, s3_key text NOT NULL, content text, metadata text,
    status text DEFAULT 'pending' NOT NULL, error text, created_at integer NOT NULL,
    processed_at integer, archived_at integer, retention_days integer DEFAULT 365,
    user_id text, api_key text, batch_id text
);
CREATE TABLE usage (
    id text PRIMARY KEY NOT NULL, document_id text NOT NULL REFERENCES documents (id),
    user_id text, api_key text, operation text NOT NULL, input_tokens integer DEFAULT 0,
    output_tokens integer DEFAULT 0, base_cost_cents integer NOT NULL,
    margin_rate integer DEFAULT 30 NOT NULL, total_cost_cents integer NOT NULL,
    created_at integer NOT NULL
);
CREATE TABLE job_queue (id text PRIMARY KEY NOT NULL, document_id text, payload text);
CREATE TABLE batches (
    id text PRIMARY KEY NOT NULL, user_id text, api_key text, total_documents integer NOT NULL,
    completed_documents integer DEFAULT 0, failed_documents integer DEFAULT 0,
    status text DEFAULT 'pending' NOT NULL, priority integer DEFAULT 5,
    batch_type text DEFAULT 'local', mistral_batch_job_id text, mistral_input_file_id text,
    mistral_output_file_id text, created_at integer NOT NULL, completed_at integer, metadata text
);
"""
CREATED = 1_761_000_000  # seconds since 1970: October 2025


class Original:
    """A database of the original with all its columns, and a directory of its files."""

    def __init__(self, directory: Path) -> None:
        self.database, self.files = directory / "original.db", directory / "bucket"
        (self.files / "documents").mkdir(parents=True)
        self._execute(FULL_SCHEMA)

    def _execute(self, script: str, *rows: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            if rows:
                connection.executemany(script, rows)
            else:
                connection.executescript(script)
            connection.commit()

    def add(
        self,
        name: str,
        status: str,
        data: bytes | None,
        *,
        content: str | None = None,
        error: str | None = None,
        key: str | None = None,
        batch: str | None = None,
        bills: int = 0,
        metadata: str | None = None,
    ) -> str:
        """Add a document and its file, unless ``data`` is None; returns its id."""
        path = f"documents/{CREATED}-{name}.pdf"
        if data is not None:
            (self.files / path).write_bytes(data)
        row = (
            *(name, f"{name}.pdf", "application/pdf", len(data or b""), path, content, metadata),
            *(status, error, CREATED, CREATED + 60, 3650, key, batch),
        )
        self._execute(
            "INSERT INTO documents (id, file_name, mime_type, file_size, s3_key, content, "
            "metadata, status, error, created_at, processed_at, retention_days, api_key, batch_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        for number in range(bills):
            bill = (f"{name}{number}", name, key, "convert", 100, 2, 30, 3, CREATED + 60)
            self._execute(
                "INSERT INTO usage (id, document_id, api_key, operation, input_tokens, "
                "base_cost_cents, margin_rate, total_cost_cents, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                bill,
            )
        return name

    def add_batch(self, name: str, key: str | None) -> str:
        """Add a batch that has ended; returns its id."""
        self._execute(
            "INSERT INTO batches (id, api_key, total_documents, status, priority, created_at, "
            "completed_at) VALUES (?, ?, 2, 'completed', 8, ?, ?)",
            (name, key, CREATED, CREATED + 90),
        )
        return name


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
