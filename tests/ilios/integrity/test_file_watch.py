"""A file that was moved away or replaced while open is detected."""

import asyncio
from pathlib import Path

import pytest

from ilios.integrity.faults import Faults
from ilios.integrity.file_watch import FileWatch, stat_paths


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "ilios.db"
    path.parent.mkdir()
    path.write_text("rows")
    return path


def watching(database: Path) -> FileWatch:
    places = {"the directory": database.parent, "the database": database}
    never = {"its log": database.with_name("never made")}
    return FileWatch(Faults(), stat_paths(places | never))


def test_existing_files_are_no_problem_and_may_change(database: Path) -> None:
    files = watching(database)
    database.write_text("more rows")
    assert files.check() is None


def test_a_file_moved_away_and_back_is_no_problem(database: Path) -> None:
    files = watching(database)
    aside = database.rename(database.with_name("aside"))
    problem = files.check()
    assert problem is not None
    assert problem.startswith(f"the database {database} is gone")
    aside.rename(database)
    assert files.check() is None


def test_the_outermost_is_named(database: Path) -> None:
    files = watching(database)
    database.parent.rename(database.parent.with_name("aside"))
    assert str(files.check()).startswith(f"the directory {database.parent} is gone")


def test_another_file_with_the_same_name_and_content_is_a_problem(
    database: Path,
) -> None:
    files = watching(database)
    held = database.open()  # as SQLite does: else the new file may get its number
    content = database.read_text()
    database.unlink()
    database.write_text(content)
    assert "is not the one the service has open" in str(files.check())
    held.close()


async def test_a_vanished_path_blocks_in_the_next_turn_of_the_event_loop(database: Path) -> None:
    faults = Faults()
    files = FileWatch(faults, stat_paths({"the database": database}))
    files.check_paths()
    assert faults.blocking is None
    database.unlink()
    files.check_paths()  # what it is asked for in this turn was stored before the first check
    assert faults.blocking is None
    await asyncio.sleep(0)
    files.check_paths()
    assert faults.blocking is not None
