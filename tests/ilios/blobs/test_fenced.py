"""A core that another one has replaced deletes no blobs, whatever its database has."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.ports import Blobs
from bus import epochs
from bus.connection import Connection
from bus.epoch_records import Holder
from bus.epochs import OwnEpoch
from bus.errors import Superseded
from ilios.blobs.fenced import FencedBlobs
from ilios.blobs.local import LocalBlobs

KEY = "originals/default/0mx0qyxfcymdwqlb126pcz7h"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class _RightStore:
    def raise_if_misplaced(self) -> None: ...

    async def recheck(self) -> None: ...


def holder(core: str) -> Holder:
    return Holder(core=core, process=core, host="h", directory="/data", version="1.2.3", since=NOW)


async def test_only_the_core_that_has_the_log_deletes_and_moves_blobs(
    connection: Connection, tmp_path: Path
) -> None:
    record = await epochs.take(connection, holder("one"), take_over=False)
    connection.fence = OwnEpoch(connection, record, 1e6).epoch
    async with LocalBlobs.open(tmp_path) as store:
        blobs: Blobs = FencedBlobs(store, _RightStore(), connection)
        await blobs.put_bytes(KEY, b"first")
        await blobs.delete(KEY)
        await blobs.put_bytes(KEY, b"second")

        await epochs.take(connection, holder("two"), take_over=True)
        with pytest.raises(Superseded):
            await blobs.delete(KEY)
        with pytest.raises(Superseded):
            await blobs.move(KEY, f"{KEY}.archived")
        with pytest.raises(Superseded):
            await blobs.sweep_temporary(timedelta())
        assert await blobs.size(KEY) == len(b"second")
