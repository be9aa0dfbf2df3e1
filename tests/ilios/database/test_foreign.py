"""A file that is no database of ilios is refused, and not a byte of it is changed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ilios.database.foreign import ForeignDatabase, refuse_foreign
from tests.ilios.database.db import open_database
from tests.ilios.database.originals import (
    contents,
    make_original,
    make_original_of_a_running_service,
)

REMEDY = "Set LOCAL_DB_PATH to another file"


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_the_database_of_the_original_service_is_refused(tmp_path: Path, journal: str) -> None:
    path = tmp_path / "ilios.db"
    make_original(path, journal)
    before = contents(tmp_path)
    with pytest.raises(ForeignDatabase) as refusal:
        refuse_foreign(path, REMEDY)
    assert "batches, documents, job_queue, usage" in str(refusal.value)
    assert "the service that ilios replaces" in str(refusal.value)
    assert str(refusal.value).endswith(REMEDY)
    assert contents(tmp_path) == before


def test_tables_in_the_write_ahead_log_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    make_original_of_a_running_service(path)
    before = contents(tmp_path)
    with pytest.raises(ForeignDatabase, match="database of another program"):
        refuse_foreign(path, REMEDY)
    assert contents(tmp_path) == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    path.write_text("a letter, or an encrypted database")
    with pytest.raises(ForeignDatabase, match="is no SQLite database"):
        refuse_foreign(path, REMEDY)
    assert path.read_text() == "a letter, or an encrypted database"


@pytest.mark.parametrize("number", ["user_version", "application_id"])
def test_a_database_without_tables_is_refused_by_its_numbers(tmp_path: Path, number: str) -> None:
    path = tmp_path / "ilios.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {number} = 7")
    before = contents(tmp_path)
    with pytest.raises(ForeignDatabase, match="another program, without tables"):
        refuse_foreign(path, REMEDY)
    assert contents(tmp_path) == before


async def test_a_database_of_ilios_passes_also_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    refuse_foreign(path, REMEDY)
    async with open_database(path):
        refuse_foreign(path, REMEDY)
    refuse_foreign(path, REMEDY)


def test_a_damaged_database_without_a_sign_of_ilios_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    make_original(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 64)  # the header of the page with the schema
    before = contents(tmp_path)
    with pytest.raises(ForeignDatabase, match=r"is damaged .*; it was not changed"):
        refuse_foreign(path, REMEDY)
    assert contents(tmp_path) == before


async def test_a_new_file_or_a_damaged_one_of_ilios_is_not_refused_as_foreign(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ilios.db"
    path.touch()
    refuse_foreign(path, REMEDY)
    async with open_database(path):
        pass
    for lock in tmp_path.glob("*.lock"):
        lock.unlink()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8)
    refuse_foreign(path, REMEDY)
    path.write_bytes(b"what was the header once")
    (tmp_path / "ilios.db.lock").touch()  # made by a writer of ours
    refuse_foreign(path, REMEDY)
