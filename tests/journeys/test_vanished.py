"""Files that vanish while the service runs: refused within seconds, and well again when back."""

import shutil
from pathlib import Path

import pytest

from tests.journeys.running import running
from tests.journeys.starting import WITHIN, is_ready, is_refused
from tests.journeys.visitors import Visitor, ended
from tests.waiting import until

SOON = 30.0  # seconds; it is looked at twice a second, but a machine may be under load
PLACES = {
    "the database": ("ilios.db", "the database"),
    "its write-ahead log": ("ilios.db-wal", "its write-ahead log"),
    "blobs": ("blobs", "the directory of blobs"),
    "the log": ("nats/jetstream", "the directory of the log"),
    "all data": (".", "the data directory"),
}


async def problem(visitor: Visitor, part: str) -> bool:
    return part in await visitor.problem()


async def is_completed(visitor: Visitor, data: Path) -> bool:
    states = ended(data / "ilios.db")
    return all(states.get(document) == "completed" for document in visitor.promised)


@pytest.mark.parametrize("what", PLACES)
async def test_what_is_moved_away_stops_every_answer_until_it_is_back(
    tmp_path: Path, what: str
) -> None:
    name, called = PLACES[what]
    data = tmp_path / "data"
    async with running(data) as service, Visitor(service) as visitor:
        assert await visitor.is_accepted()
        await until(lambda: is_completed(visitor, data), within=WITHIN)
        path = (data / name).resolve()
        aside = path.rename(tmp_path / "aside")
        await until(lambda: problem(visitor, f"{called} {path} is gone"), within=SOON)
        await is_refused(visitor)
        for asked in ("/", "/openapi.json", "/docs"):
            assert (await visitor.ask("GET", asked)).status == 200
        aside.rename(path)
        await until(lambda: is_ready(visitor), within=WITHIN)
        for document, text in visitor.promised.items():
            assert await visitor.text(document) == text
        assert await visitor.is_accepted()
        await until(lambda: is_completed(visitor, data), within=WITHIN)


@pytest.mark.parametrize("name", ["ilios.db", "blobs", "nats/jetstream"])
async def test_what_was_replaced_by_a_copy_needs_a_start(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as service, Visitor(service) as visitor:
        assert await visitor.is_accepted()
        await until(lambda: is_completed(visitor, tmp_path), within=WITHIN)
        path = tmp_path / name
        copy = tmp_path / "copy"
        if path.is_dir():
            shutil.copytree(path, copy)
            shutil.rmtree(path)
        else:
            shutil.copy(path, copy)
            path.unlink()
        await until(lambda: problem(visitor, "is gone"), within=SOON)
        copy.rename(path)
        await until(lambda: problem(visitor, "is not the one the service has open"), within=SOON)
        assert await problem(visitor, "start the service again")
        await is_refused(visitor)


async def test_a_part_of_the_blobs_that_is_moved_away_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as service, Visitor(service) as visitor:
        assert await visitor.is_accepted()
        await until(lambda: is_completed(visitor, data), within=WITHIN)
        (text,) = visitor.promised.values()
        (original,) = (data / "blobs").glob("??/originals*")
        shard = original.parent
        aside = shard.rename(tmp_path / "aside")
        await until(lambda: problem(visitor, f"{shard} is not there any more"), within=SOON)
        await until(lambda: refuses(visitor), within=SOON)
        await is_refused(visitor)
        aside.rename(shard)
        await until(lambda: is_ready(visitor), within=WITHIN)
        (document,) = visitor.promised
        assert await visitor.text(document) == text


async def refuses(visitor: Visitor) -> bool:
    return (await visitor.ask("GET", "/api/usage/summary")).status == 503


async def test_a_block_of_the_log_that_was_deleted_is_noticed(tmp_path: Path) -> None:
    async with running(tmp_path) as service, Visitor(service) as visitor:
        assert await visitor.is_accepted()
        (events,) = (tmp_path / "nats").glob("jetstream/*/*/streams/ILIOS_EVENTS/msgs")
        for block in events.glob("*.blk"):
            block.unlink()
        await until(lambda: problem(visitor, "written to a file that was deleted"), within=SOON)
        await is_refused(visitor)


async def test_a_log_that_was_moved_away_is_not_replaced_by_another_server(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running(data) as service, Visitor(service) as visitor:
        assert await visitor.is_accepted()
        await until(lambda: is_completed(visitor, data), within=WITHIN)
        log = data / "nats" / "jetstream"
        aside = log.rename(tmp_path / "aside")
        await service.kill("nats-server")
        await until(lambda: problem(visitor, f"directory of the log {log} is gone"), within=SOON)
        await is_refused(visitor)
        assert not log.exists()
        aside.rename(log)
        await until(lambda: is_ready(visitor), within=WITHIN)
        assert await visitor.is_accepted()
        await until(lambda: is_completed(visitor, data), within=WITHIN)
