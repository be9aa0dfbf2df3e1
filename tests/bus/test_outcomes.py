"""Whoever waits for a document hears how it ends the moment it is said."""

import asyncio

import pytest

from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.outcomes import Outcomes
from bus.publisher import Publisher
from schemas.documents import DocumentCompleted, DocumentFailed
from tests import events
from tests.bus.conftest import MortalServer

WITHIN = 5.0
ID = events.name(1)


@pytest.mark.parametrize("end", [events.completed(), events.failed()])
async def test_an_end_is_heard(
    connection: Connection, end: DocumentCompleted | DocumentFailed
) -> None:
    async with Outcomes(connection).watch("default", ID) as outcome:
        publisher = Publisher(connection)
        await publisher.say(events.submitted())
        await publisher.say(events.converted())
        await publisher.say(end)
        async with asyncio.timeout(WITHIN):
            assert await outcome.wait() == end


async def test_the_first_end_counts_and_other_documents_do_not(connection: Connection) -> None:
    async with Outcomes(connection).watch("default", ID) as outcome:
        publisher = Publisher(connection)
        await publisher.say(events.failed(2))
        await publisher.publish(f"ilios.document.failed.p05.default.{ID}", b"nonsense", {})
        await publisher.say(events.failed())
        await publisher.say(events.completed())
        async with asyncio.timeout(WITHIN):
            assert await outcome.wait() == events.failed()


async def test_one_who_stops_waiting_does_not_stop_another(connection: Connection) -> None:
    async with Outcomes(connection).watch("default", ID) as outcome:
        impatient, patient = (asyncio.create_task(outcome.wait()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await Publisher(connection).say(events.failed())
        async with asyncio.timeout(WITHIN):
            assert await patient == events.failed()


async def test_nothing_is_left_behind(connection: Connection) -> None:
    await Publisher(connection).say(events.submitted())
    before = len(connection.client._subs)
    for number in range(20):
        async with Outcomes(connection).watch("default", events.name(number)):
            assert len(connection.client._subs) == before + 1
    assert len(connection.client._subs) == before


async def test_watching_over_a_closed_connection_is_an_error(mortal: MortalServer) -> None:
    async with connect(mortal.url("operator"), name="test") as connection:
        pass
    with pytest.raises(BusUnavailable):
        async with Outcomes(connection).watch("default", ID):
            pytest.fail("it is closed")


async def test_leaving_over_a_lost_connection_is_none(mortal: MortalServer) -> None:
    async with (
        connect(mortal.url("operator"), name="test") as connection,
        Outcomes(connection).watch("default", ID),
    ):
        await mortal.kill()
