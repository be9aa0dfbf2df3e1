"""Objects in buckets are read and deleted as the clients of object stores have put them."""

import base64
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from nats.js.api import ObjectMeta, ObjectMetaOptions
from nats.js.object_store import ObjectStore

from bus import failpoints
from bus.buckets import CLOSED, MIN_MESSAGES, ensure_bucket
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.objects import Objects, ObjectUnusable, bucket_name, bucket_stream
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until

TENANT = "default"
MIB = 1024**2
NEVER = timedelta(days=1)


@pytest.fixture
async def bucket(connection: Connection) -> ObjectStore:
    await ensure_bucket(connection.jetstream, TENANT, 16 * MIB, max_age=3600)
    return await connection.jetstream.object_store(bucket_name(TENANT))


@pytest.fixture
def objects(connection: Connection) -> Objects:
    return Objects(connection, 8 * MIB)


async def read(objects: Objects, name: str) -> bytes:
    found = await objects.find(TENANT, name)
    assert found is not None
    return b"".join([chunk async for chunk in objects.read(found)])


async def messages(connection: Connection) -> int:
    info = await connection.jetstream.stream_info(bucket_stream(TENANT))
    return int(info.state.messages)


async def put_metadata(connection: Connection, name: str, **members: object) -> None:
    """Publish metadata as a client with errors, or bad intentions, would."""
    whole = {"name": name, "bucket": bucket_name(TENANT), "nuid": "none", **members}
    encoded = base64.urlsafe_b64encode(name.encode()).decode()
    subject = f"$O.{bucket_name(TENANT)}.M.{encoded}"
    await connection.jetstream.publish(subject, json.dumps(whole).encode())


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 3 * MIB + 7])
async def test_an_object_is_read_as_it_was_put(
    bucket: ObjectStore, objects: Objects, size: int
) -> None:
    data = os.urandom(size)
    await bucket.put("reports/é 1.pdf", data)

    assert await read(objects, "reports/é 1.pdf") == data

    found = await objects.find(TENANT, "reports/é 1.pdf")
    assert found is not None
    assert found.sha256 == hashlib.sha256(data).hexdigest()


async def test_what_was_deleted_or_never_put_is_not_found(
    bucket: ObjectStore, objects: Objects
) -> None:
    await bucket.put("a", b"abc")
    await bucket.delete("a")
    assert await objects.find(TENANT, "a") is None
    assert await objects.find(TENANT, "b") is None
    with pytest.raises(ObjectUnusable) as caught:
        await objects.find("nobody", "a")
    assert (caught.value.code, caught.value.retryable) == ("source_missing", True)


async def test_a_missing_chunk_is_damage(
    bucket: ObjectStore, objects: Objects, connection: Connection
) -> None:
    await bucket.put("a", os.urandom(MIB))
    await connection.jetstream.delete_msg(bucket_stream(TENANT), 3)
    with pytest.raises(ObjectUnusable) as caught:
        await read(objects, "a")
    assert (caught.value.code, caught.value.retryable) == ("source_damaged", True)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"nuid": ">"}, "source_damaged"),
        ({"nuid": "a.b"}, "source_damaged"),
        ({"size": "three"}, "source_damaged"),
        ({"size": 3, "chunks": 1, "digest": "MD5=abc"}, "source_damaged"),
        ({"size": 3, "chunks": 1, "digest": "SHA-256=*"}, "source_damaged"),
        ({"size": 9 * MIB, "chunks": 9}, "source_too_large"),
        ({"size": MIB, "chunks": MIB}, "source_refused"),
        ({"options": {"link": {"bucket": "ilios-uploads-other", "name": "x"}}}, "source_refused"),
    ],
)
async def test_metadata_that_asks_too_much_is_refused(
    bucket: ObjectStore,
    objects: Objects,
    connection: Connection,
    members: dict[str, object],
    code: str,
) -> None:
    await bucket.put("other", b"abc")
    await put_metadata(connection, "a", **members)
    with pytest.raises(ObjectUnusable) as caught:
        await read(objects, "a")
    assert caught.value.code == code


async def test_reading_ends_where_the_size_does(
    bucket: ObjectStore, objects: Objects, connection: Connection
) -> None:
    put = await bucket.put("a", os.urandom(2 * MIB))
    await put_metadata(connection, "b", nuid=put.nuid, size=100, chunks=16, digest=put.digest)
    seen = 0
    failpoints.arm("objects.chunk", lambda: pytest.fail("no chunk fits"))
    try:
        with pytest.raises(ObjectUnusable):
            seen += len(await read(objects, "b"))
    finally:
        failpoints.arm("objects.chunk", lambda: None)
    assert seen == 0


async def test_deleting_an_object_leaves_the_one_that_was_put_since(
    bucket: ObjectStore, objects: Objects
) -> None:
    await bucket.put("a", b"first")
    first = await objects.find(TENANT, "a")
    assert first is not None
    await bucket.put("a", b"second")

    await objects.remove(first)
    assert await read(objects, "a") == b"second"

    second = await objects.find(TENANT, "a")
    assert second is not None
    await objects.remove(second)
    assert await objects.find(TENANT, "a") is None


class Killed(BaseException):
    """The process ends here."""


async def test_what_a_broken_put_or_deletion_leaves_is_deleted(
    bucket: ObjectStore, objects: Objects, connection: Connection
) -> None:
    await bucket.put("stays", os.urandom(MIB))
    whole = await messages(connection)
    for _ in range(3):  # chunks of a put that never ended
        await connection.jetstream.publish(f"$O.{bucket_name(TENANT)}.C.broken", os.urandom(1000))
    await bucket.put("half", b"abc")
    half = await objects.find(TENANT, "half")
    assert half is not None

    def kill() -> None:
        raise Killed

    failpoints.arm("objects.unlisted", kill)
    try:
        with pytest.raises(Killed):
            await objects.remove(half)
    finally:
        failpoints.arm("objects.unlisted", lambda: None)

    assert await objects.tenants() == [TENANT]
    now = datetime.now(UTC)
    assert await objects.delete_broken(TENANT, NEVER, now) == 0
    assert await objects.delete_broken(TENANT, timedelta(), now + timedelta(seconds=1)) == 2
    assert await messages(connection) == whole
    assert len(await read(objects, "stays")) == MIB


async def test_old_objects_are_deleted_and_later_ones_stay(
    bucket: ObjectStore, objects: Objects, connection: Connection
) -> None:
    await bucket.put("old", os.urandom(MIB))
    await bucket.put("gone", b"abc")
    await bucket.delete("gone")  # of which a mark stays
    await put_metadata(connection, "damaged", nuid=">")
    await bucket.put("new", b"new")
    new = await objects.find(TENANT, "new")
    assert new is not None
    before = new.stored_at - timedelta(microseconds=1)  # one of two equal times is rounded
    assert await objects.delete_older(TENANT, before) == 3
    assert await read(objects, "new") == b"new"
    assert await messages(connection) == 2


async def test_a_closed_bucket_takes_nothing_and_loses_nothing(
    bucket: ObjectStore, objects: Objects, connection: Connection
) -> None:
    js = connection.jetstream
    await bucket.put("a", b"abc")
    for number in range(MIN_MESSAGES):  # more than a closed bucket would take
        await connection.client.publish(f"$O.{bucket_name(TENANT)}.C.{number}", b"x")

    async def all_stored() -> bool:
        return await messages(connection) == MIN_MESSAGES + 2

    await wait_until(all_stored)
    await ensure_bucket(js, TENANT, CLOSED, max_age=3600)
    with pytest.raises(Exception, match="maximum messages exceeded"):
        await bucket.put("b", b"abc")
    assert await read(objects, "a") == b"abc"
    assert await all_stored()
    await ensure_bucket(js, TENANT, 16 * MIB, max_age=3600)
    await bucket.put("b", b"abc", ObjectMeta(options=ObjectMetaOptions(max_chunk_size=2)))
    assert await read(objects, "b") == b"abc"


async def test_reading_may_be_given_up_in_the_middle(bucket: ObjectStore, objects: Objects) -> None:
    data = os.urandom(MIB)
    await bucket.put("a", data)
    found = await objects.find(TENANT, "a")
    assert found is not None
    reading = objects.read(found)
    assert data.startswith(await anext(reading))
    await reading.aclose()
    assert await read(objects, "a") == data


async def test_other_bytes_of_the_same_size_are_damage(
    bucket: ObjectStore, objects: Objects, connection: Connection
) -> None:
    put, other = await bucket.put("a", b"abc"), await bucket.put("b", b"xyz")
    await put_metadata(connection, "a", nuid=other.nuid, size=3, chunks=1, digest=put.digest)
    with pytest.raises(ObjectUnusable) as caught:
        await read(objects, "a")
    assert caught.value.code == "source_damaged"


async def test_each_tenant_has_a_bucket_of_its_own(
    bucket: ObjectStore, objects: Objects, connection: Connection
) -> None:
    js = connection.jetstream
    await ensure_bucket(js, "acme", MIB, max_age=3600)
    theirs = await js.object_store(bucket_name("acme"))
    await bucket.put("ours", b"abc")
    await theirs.put("theirs", b"abc")
    assert sorted(await objects.tenants()) == ["acme", TENANT]
    assert await objects.find("acme", "ours") is None
    assert await objects.find(TENANT, "theirs") is None
    assert await objects.find("acme", "theirs") is not None


async def test_a_server_that_is_killed_interrupts_reading_and_loses_nothing(
    killable_server: KillableServer,
) -> None:
    data = os.urandom(2 * MIB)
    async with connect(killable_server.url("operator"), name="tests") as connection:
        await ensure_bucket(connection.jetstream, TENANT, 16 * MIB, max_age=3600)
        bucket = await connection.jetstream.object_store(bucket_name(TENANT))
        await bucket.put("a", data)
        objects = Objects(connection, 8 * MIB)
        found = await objects.find(TENANT, "a")
        assert found is not None
        reading = objects.read(found)
        await anext(reading)
        await killable_server.kill()
        with pytest.raises(BusUnavailable):
            async for _ in reading:
                pass
        await killable_server.start()
        await wait_until(lambda: connection.connected)
        assert await read(objects, "a") == data
