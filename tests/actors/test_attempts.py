"""Attempts of several hosts at one event are counted together."""

from datetime import UTC, datetime

import msgspec

from actors.attempts import Attempts, Tally
from bus import cluster
from bus.connection import Connection
from bus.delivery import DeliveryInfo
from bus.errors import BusUnavailable
from bus.stored_messages import DirectGet
from schemas.documents import DocumentFailed, DocumentSubmitted
from tests.actors.running import Streams, running_in_background
from tests.actors.scripted_actor import ScriptedActor, publish_events
from tests.waiting import wait_until


class Away:
    """Counts on a bus that does not answer."""

    async def get(self, key: str) -> bytes | None:
        raise BusUnavailable(key)

    async def put(self, key: str, value: bytes) -> None:
        raise BusUnavailable(f"{key} {value!r}")


async def test_three_hosts_try_an_event_as_often_as_one(connection: Connection) -> None:
    await cluster.ensure_streams(connection)
    counts = cluster.KeyValues(connection, cluster.COUNTS)
    hosts = [ScriptedActor(connection, at_once=1, counts=counts) for _ in range(3)]
    log, stored = Streams(connection), DirectGet(connection, cluster.COUNTS)

    async def fail(event: DocumentSubmitted, delivery: DeliveryInfo) -> None:
        raise ValueError("a defect")

    async def has_failed() -> bool:
        found = await stored.last("ilios.attempts.>")
        return found is not None and msgspec.json.decode(found.body, type=Tally).failures > 0

    hosts[0].script(fail)
    await publish_events(connection, 1)
    async with running_in_background(hosts[0].run):
        await wait_until(has_failed)
    for host in hosts:
        host.script(*[fail] * 12)
    async with (
        running_in_background(hosts[1].run),
        running_in_background(hosts[2].run),
    ):
        (failed,) = await log.wait_for(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert (failed.code, failed.attempts) == ("gave_up", 4)
    handled = [delivery for host in hosts for delivery in host.deliveries_of()]
    assert len(handled) == 4


async def test_an_attempt_that_the_bus_does_not_take_counts_on_its_host() -> None:
    attempts = Attempts("ocr", Away())
    delivery = DeliveryInfo(7, 1, datetime.now(UTC))
    await attempts.record(delivery, Tally(failures=2))
    assert await attempts.read(delivery) == Tally(failures=2)
    attempts.forget(delivery)
    assert await attempts.read(delivery) == Tally()


async def test_waits_on_another_host_count(connection: Connection) -> None:
    await cluster.ensure_streams(connection)
    counts = cluster.KeyValues(connection, cluster.COUNTS)
    delivery = DeliveryInfo(7, 1, datetime.now(UTC))
    await Attempts("ocr", counts).record(delivery, Tally(waits=3, waited=90.0))
    assert await Attempts("ocr", counts).read(delivery) == Tally(waits=3, waited=90.0)
    assert await Attempts("fetcher", counts).read(delivery) == Tally()
