"""Wall clocks that were wrong leave nothing behind that stops the service or what it does."""

import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from ilios.database.recovery import snapshots
from tests import documents
from tests.journeys.running import running_service
from tests.journeys.test_upkeep import DAY, OFTEN, Client, change, completed
from tests.waiting import wait_until

WITHIN = 60.0  # seconds
FUTURE = ("ilios-20990101T000000Z.db", "ilios-20990102T000000Z.db")


def counted(data: Path, question: str) -> int:
    with closing(sqlite3.connect(f"file:{data / 'ilios.db'}?mode=ro", uri=True)) as connection:
        return int(connection.execute(question).fetchone()[0])


def passed_since(data: Path, ran: int) -> bool:
    return counted(data, "SELECT seen_ran FROM running") > ran


async def test_snapshots_of_the_future_neither_stop_new_ones_nor_make_it_unready(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "snapshots"
    await completed(tmp_path, ILIOS_SNAPSHOT_HOURS="0")
    directory.mkdir()
    for name in FUTURE:
        shutil.copy(tmp_path / "ilios.db", directory / name)
    async with running_service(tmp_path) as service:
        client = Client(service)
        await wait_until(lambda: len(list(directory.glob("ilios-20[!9]*Z.db"))) == 1, within=WITHIN)
        await wait_until(lambda: len(snapshots.list_snapshots(directory)) == 2, within=WITHIN)
        assert snapshots.list_snapshots(directory)[0].name not in FUTURE
        assert (await client.get("/readyz"))[0] == 200
    # It is not due again at the next start, although another of the future is still there.
    found = snapshots.list_snapshots(directory)
    async with running_service(tmp_path) as service:
        name = await Client(service).submit(documents.pdf("later"))
        await Client(service).wait_for(name, "completed")
        assert (await Client(service).get("/readyz"))[0] == 200
        assert snapshots.list_snapshots(directory) == found


async def test_a_hold_is_remembered_over_restarts_and_ends_after_a_day_of_running(
    tmp_path: Path,
) -> None:
    name = await completed(tmp_path)
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    change(tmp_path, f"UPDATE sweeps SET at = at - 400 * {DAY}")
    for hours in (0, 10, 10):  # of running, until then
        change(tmp_path, f"UPDATE running SET ran = ran + {hours * DAY // 24}")
        ran = counted(tmp_path, "SELECT ran FROM running")
        async with running_service(tmp_path, **OFTEN) as service:
            client = Client(service)
            await wait_until(partial(passed_since, tmp_path, ran), within=WITHIN)
            assert (await client.status(name))["status"] == "completed"
            assert counted(tmp_path, "SELECT held_since IS NOT NULL FROM running")
    change(tmp_path, f"UPDATE running SET ran = ran + {4 * DAY // 24}")
    async with running_service(tmp_path, **OFTEN) as service:
        await Client(service).wait_for(name, "deleted")
    assert not counted(tmp_path, "SELECT held_since IS NOT NULL FROM running")
