"""A key that does not fit the database is refused with a sentence, before anything is written."""

from pathlib import Path

import pytest

from ilios.database.key_check import KeyRefused, refuse_wrong_key
from ilios.secret import Secret
from tests import events
from tests.ilios.database.db import history, open_database
from tests.ilios.database.keys import KEY, OTHER, using


async def make(path: Path, key: Secret | None) -> None:
    """Make a database with a row, under a key or without one."""
    with using(key):
        async with open_database(path) as db:
            await db.apply(*history(events.submitted()))


@pytest.mark.parametrize(
    ("written", "given", "reason"),
    [
        (
            None,
            KEY,
            "DB_ENCRYPTION_KEY is set: `ilios database encrypt`",
        ),
        (KEY, None, "is encrypted, and DB_ENCRYPTION_KEY is not set"),
        (KEY, OTHER, "DB_ENCRYPTION_KEY is not the key that it was written with"),
    ],
)
@pytest.mark.parametrize("name", ["ilios.db", "ilios-20260115T103000Z.db"])
async def test_a_key_that_does_not_fit_is_refused_and_nothing_is_written(
    tmp_path: Path, written: Secret | None, given: Secret | None, reason: str, name: str
) -> None:
    await make(tmp_path / name, written)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with using(given), pytest.raises(KeyRefused, match=reason) as refusal:
        refuse_wrong_key(tmp_path / "ilios.db", tmp_path.glob("ilios-*.db"))
    assert KEY.get_secret_value() not in str(refusal.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("key", [None, KEY, OTHER])
async def test_the_right_key_an_empty_directory_and_a_damaged_file_pass(
    tmp_path: Path, key: Secret | None
) -> None:
    database = tmp_path / "ilios.db"
    with using(key):
        refuse_wrong_key(database, [])
    await make(database, key)
    with using(key):
        refuse_wrong_key(database, [])
        database.write_bytes(b"\0" * 100 + database.read_bytes()[100:200])
        refuse_wrong_key(database, [])


async def test_a_snapshot_under_another_key_does_not_stop_a_database_that_opens(
    tmp_path: Path,
) -> None:
    await make(tmp_path / "ilios.db", KEY)
    await make(tmp_path / "ilios-1.db", OTHER)
    with using(KEY):
        refuse_wrong_key(tmp_path / "ilios.db", [tmp_path / "ilios-1.db"])
