"""Each tenant has a bucket, of the size for which there is space."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bus.buckets import CLOSED
from bus.connection import Connection, connect
from bus.objects import bucket_stream
from ilios.nats.buckets import Buckets
from ilios.nats.server import NatsServer, embedded
from ilios.nats.store import bucket_limit, free
from ilios.runtime.disk_space import DiskGuard, Volume
from tests.waiting import wait_until

MIB = 1024**2
TENANTS = ("default", "acme")
DAY = timedelta(days=1)


class Disk:
    """A volume whose free space a test chooses."""

    def __init__(self, directory: Path) -> None:
        self.free = 1000 * MIB
        self.guard = DiskGuard({"bus": directory}, 100 * MIB, lambda _: Volume(1, self.free, None))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with embedded(tmp_path / "nats", 0, TENANTS, 16 * MIB) as server:
        yield server


@pytest.fixture
async def objects(server: NatsServer) -> AsyncIterator[Connection]:
    """A connection as the service has it."""
    url, setup_url = server.url("objects"), server.url("setup")
    async with connect(url, name="objects", setup_url=setup_url) as connection:
        yield connection


async def sizes(server: NatsServer) -> list[int | None]:
    async with connect(server.url("operator"), name="operator") as operator:
        found = [await operator.jetstream.stream_info(bucket_stream(one)) for one in TENANTS]
    return [info.config.max_bytes for info in found]


async def test_each_tenant_has_a_bucket_that_is_closed_while_a_volume_is_full(
    server: NatsServer, objects: Connection, tmp_path: Path
) -> None:
    disk = Disk(tmp_path)
    buckets = Buckets(objects, TENANTS, server.bucket_bytes, max_age=DAY, disk_guard=disk.guard)
    await buckets.update()
    assert await sizes(server) == [16 * MIB] * 2
    disk.free = 50 * MIB
    await wait_until(lambda: bool(disk.guard.shortages))
    await buckets.update()
    assert await sizes(server) == [CLOSED] * 2
    disk.free = 1000 * MIB
    await wait_until(lambda: not disk.guard.shortages)
    await buckets.update()
    assert await sizes(server) == [16 * MIB] * 2
    assert objects.permission_violations.count == 0


async def test_without_a_size_there_is_no_room_in_it(
    server: NatsServer, objects: Connection, tmp_path: Path
) -> None:
    guard = Disk(tmp_path).guard
    await Buckets(objects, TENANTS, 0, max_age=DAY, disk_guard=guard).update()
    assert await sizes(server) == [CLOSED] * 2


async def test_a_bus_that_refuses_a_bucket_is_asked_again(
    server: NatsServer, objects: Connection, tmp_path: Path
) -> None:
    guard = Disk(tmp_path).guard
    too_much = Buckets(objects, TENANTS, 2**62, max_age=DAY, disk_guard=guard)
    await too_much.update()  # the service starts all the same
    await Buckets(objects, TENANTS, MIB, max_age=DAY, disk_guard=guard).update()
    assert await sizes(server) == [MIB] * 2


def test_all_buckets_together_have_a_share_of_the_free_space(tmp_path: Path) -> None:
    assert bucket_limit(tmp_path, 5, 2) == 5
    share = free(tmp_path) // 4
    assert bucket_limit(tmp_path, 2**62, 2) == pytest.approx(share // 2, rel=0.1)


async def test_the_log_has_its_room_besides_full_buckets(tmp_path: Path) -> None:
    async with embedded(tmp_path, 0, TENANTS, 16 * MIB) as server:
        environ = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        (limit,) = [one for one in environ if one.startswith(b"ILIOS_NATS_MAX_FILE=")]
        assert int(limit.split(b"=")[1]) == server.store_limit + 2 * 16 * MIB
