"""Pages of the log, read by the user of the edge as it is deployed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import structs
from nats.aio.msg import Msg

from bus import event_log, subjects
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.event_log import PAGE_EVENTS, EventLog
from bus.publisher import Publisher
from bus.reader import LOG_START, LogPosition
from ilios.nats.server import NatsServer
from tests import batch_events, events
from tests.waiting import wait_until


@pytest.fixture
async def edge(nats_server: NatsServer, connection: Connection) -> AsyncIterator[Connection]:
    async with connect(nats_server.url("edge"), name="edge") as edge:
        yield edge
        assert not edge.permission_violations.problems


async def test_pages_have_every_event_in_order_and_end(
    edge: Connection, connection: Connection
) -> None:
    log, publisher = EventLog(edge), Publisher(connection)
    assert await log.read(0) == []
    assert await log.end() == LOG_START
    published = [events.submitted(number) for number in range(1, PAGE_EVENTS + 10)]
    await asyncio.gather(*map(publisher.publish, published))
    first = await log.read(0)
    second = await log.read(first[-1].sequence)
    assert [one.sequence for one in first + second] == list(range(1, len(published) + 1))
    assert await log.read(second[-1].sequence) == []
    assert (await log.end()).sequence == len(published)


async def test_a_page_of_which_an_event_did_not_arrive_is_not_read(
    edge: Connection, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the connection broke in the middle of it."""
    log, publisher = EventLog(edge), Publisher(connection)
    for number in (1, 2, 3, 4):
        await publisher.publish(events.submitted(number))
    add = event_log._Page.add
    for lost in ("1", "2", "4"):

        def add_most(page: event_log._Page, message: Msg, lost: str = lost) -> None:
            if (message.headers or {}).get("Nats-Sequence") != lost:
                add(page, message)

        monkeypatch.setattr(event_log._Page, "add", add_most)
        with pytest.raises(BusUnavailable, match="did not arrive"):
            await log.read(0)


async def test_events_of_one_document_are_read_alone(
    edge: Connection, connection: Connection
) -> None:
    log, publisher = EventLog(edge), Publisher(connection)
    for event in (events.submitted(1), events.submitted(2), events.failed(1)):
        await publisher.publish(event)
    found = await log.read_all(subjects.document_filter("*", "default", events.id_of(1)))
    assert [one.sequence for one in found] == [1, 3]


async def test_a_position_of_another_log_is_not_reached(
    edge: Connection, connection: Connection
) -> None:
    log, publisher = EventLog(edge), Publisher(connection)
    assert await log.reaches(LOG_START)
    await publisher.publish(events.submitted())
    end = await log.end()
    assert await log.reaches(end)
    assert not await log.reaches(LogPosition(end.sequence + 1, end.stored_at))
    assert not await log.reaches(structs.replace(end, stored_at=LOG_START.stored_at))


async def test_what_is_published_is_noticed_also_of_batches(
    edge: Connection, connection: Connection
) -> None:
    log, publisher = EventLog(edge), Publisher(connection)
    noticed = 0

    def notice() -> None:
        nonlocal noticed
        noticed += 1

    async with log.notices(notice):
        await edge.client.flush()
        await publisher.publish(events.submitted())
        await publisher.publish(batch_events.completed())
        await wait_until(lambda: noticed == 2)


async def test_a_server_that_is_gone_is_an_error(edge: Connection, nats_server: NatsServer) -> None:
    log = EventLog(edge)
    await log.read(0)
    await edge.client.close()
    with pytest.raises(BusUnavailable):
        await log.read(0)
