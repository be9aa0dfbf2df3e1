"""A database that follows a log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ilios.database.connection import open_reader, open_writer
from ilios.database.queries import SqliteDocumentQueries, SqliteMaintenanceQueries
from ilios.database.store import SqliteTransactionStore
from tests.actors.db import Database
from tests.actors.running import running_in_background
from tests.ilios.database.db import make_database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "ilios.db"
    make_database(path)
    async with open_writer(path) as connection, open_reader(path) as reading:
        database = Database(
            path, SqliteTransactionStore(connection), SqliteDocumentQueries(reading)
        )
        database.maintenance = SqliteMaintenanceQueries(reading)
        async with running_in_background(database.writer.run):
            yield database
