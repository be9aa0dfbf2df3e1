"""A waiter for a document gets its outcome as soon as it is published."""

import asyncio

import msgspec
import pytest

from bus import codec
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.subscriber import OutcomeListener
from schemas.documents import DocumentCompleted, DocumentFailed
from tests import batch_events, events
from tests.bus.conftest import KillableServer

WITHIN = 30.0
ID = events.id_of(1)


@pytest.mark.parametrize("end", [events.completed(), events.failed()])
async def test_a_terminal_event_completes_the_wait(
    connection: Connection, end: DocumentCompleted | DocumentFailed
) -> None:
    async with OutcomeListener(connection).watch("default", ID) as outcome:
        publisher = Publisher(connection)
        await publisher.publish(events.submitted())
        await publisher.publish(events.converted())
        await publisher.publish(end)
        async with asyncio.timeout(WITHIN):
            assert await outcome.wait() == end


async def test_the_first_end_counts_and_other_documents_do_not(connection: Connection) -> None:
    async with OutcomeListener(connection).watch("default", ID) as outcome:
        publisher = Publisher(connection)
        await publisher.publish(events.failed(2))
        await publisher.publish_raw(f"ilios.document.failed.p05.default.{ID}", b"nonsense", {})
        await publisher.publish(events.failed())
        await publisher.publish(events.completed())
        async with asyncio.timeout(WITHIN):
            assert await outcome.wait() == events.failed()


async def test_a_cancelled_waiter_does_not_cancel_another(connection: Connection) -> None:
    async with OutcomeListener(connection).watch("default", ID) as outcome:
        impatient, patient = (asyncio.create_task(outcome.wait()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await Publisher(connection).publish(events.failed())
        async with asyncio.timeout(WITHIN):
            assert await patient == events.failed()


async def test_nothing_is_left_behind(connection: Connection) -> None:
    await Publisher(connection).publish(events.submitted())
    before = len(connection.client._subs)
    for number in range(20):
        async with OutcomeListener(connection).watch("default", events.id_of(number)):
            assert len(connection.client._subs) == before + 1
    assert len(connection.client._subs) == before


async def test_watching_over_a_closed_connection_is_an_error(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        pass
    with pytest.raises(BusUnavailable):
        async with OutcomeListener(connection).watch("default", ID):
            pytest.fail("it is closed")


async def test_leaving_over_a_lost_connection_is_none(killable_server: KillableServer) -> None:
    async with (
        connect(killable_server.url("operator"), name="test") as connection,
        OutcomeListener(connection).watch("default", ID),
    ):
        await killable_server.kill()


PRIORITY = events.submitted().priority


async def test_waiters_of_one_priority_share_their_subscriptions(connection: Connection) -> None:
    listener, publisher = OutcomeListener(connection), Publisher(connection)
    async with listener.watch("default", ID, PRIORITY) as first:
        subscriptions = len(connection.client._subs)
        async with (
            listener.watch("default", ID, PRIORITY) as again,
            listener.watch("default", events.id_of(2), PRIORITY) as second,
        ):
            assert len(connection.client._subs) == subscriptions
            await publisher.publish_raw(
                f"ilios.document.failed.p{PRIORITY:02d}.default.{ID}", b"nonsense", {}
            )
            await publisher.publish(events.submitted())
            await publisher.publish(events.completed(2))
            await publisher.publish(events.failed())
            async with asyncio.timeout(WITHIN):
                assert await second.wait() == events.completed(2)
                assert await first.wait() == await again.wait() == events.failed()


async def test_a_shared_waiter_ends_with_its_own_tenants_document(connection: Connection) -> None:
    listener, publisher = OutcomeListener(connection), Publisher(connection)
    ours, theirs = events.failed(), msgspec.structs.replace(events.completed(), tenant="other")
    async with listener.watch("default", ID, PRIORITY) as outcome:
        await publisher.publish(theirs)
        await publisher.publish(ours)
        async with asyncio.timeout(WITHIN):
            assert await outcome.wait() == ours


async def test_many_first_waiters_subscribe_once_and_leave_no_waiter(
    connection: Connection,
) -> None:
    listener, publisher = OutcomeListener(connection), Publisher(connection)
    before = len(connection.client._subs)

    async def watch(number: int) -> None:
        async with listener.watch("default", events.id_of(number), PRIORITY) as outcome:
            await publisher.publish(events.failed(number))
            async with asyncio.timeout(WITHIN):
                assert await outcome.wait() == events.failed(number)

    await asyncio.gather(*map(watch, range(1, 11)))
    assert len(connection.client._subs) - before <= 3 + 1  # and that of the publisher's answers


async def test_sharing_subscriptions_over_a_closed_connection_is_an_error(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        listener = OutcomeListener(connection)
    with pytest.raises(BusUnavailable):
        async with listener.watch("default", ID, PRIORITY):
            pytest.fail("it is closed")


async def test_the_edge_may_subscribe_to_the_ends_it_shares(
    killable_server: KillableServer,
) -> None:
    async with (
        connect(killable_server.url("operator"), name="setup") as operator,
        connect(killable_server.url("edge"), name="test") as connection,
        OutcomeListener(connection).watch("default", ID, PRIORITY) as outcome,
    ):
        await connection.client.flush()
        subject = f"ilios.document.failed.p{PRIORITY:02d}.default.{ID}"
        await operator.client.publish(subject, codec.encode(events.failed()))
        async with asyncio.timeout(WITHIN):
            assert await outcome.wait() == events.failed()


async def test_the_end_of_a_batch_completes_the_wait_for_it(connection: Connection) -> None:
    listener, publisher = OutcomeListener(connection), Publisher(connection)
    async with listener.watch_batch("default", batch_events.id_of()) as ended:
        await publisher.publish(batch_events.completed(2))
        await publisher.publish(batch_events.completed())
        async with asyncio.timeout(WITHIN):
            await ended.wait()
