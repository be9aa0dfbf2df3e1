"""Events about pages reach who subscribes, and hold up nobody."""

from bus import streams
from bus.connection import Connection, connect
from bus.pages import PagePublisher, page_events
from schemas.pages import PageConverted
from tests import events
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until


def page(number: int, document: int = 1) -> PageConverted:
    return PageConverted(
        document_id=events.id_of(document), page=number, of=9, engine="local", seconds=0.5
    )


async def test_an_event_about_a_page_is_published_and_not_stored(connection: Connection) -> None:
    await streams.ensure(connection.jetstream)
    received: list[PageConverted] = []
    async with page_events(connection, received.append):
        PagePublisher(connection).publish(page(1))
        await wait_until(lambda: received == [page(1)])
    info = await connection.jetstream.stream_info(streams.EVENTS)
    assert info.state.messages == 0


async def test_a_subscription_to_one_document_receives_no_events_of_others(
    connection: Connection,
) -> None:
    received: list[PageConverted] = []
    pages = PagePublisher(connection)
    async with page_events(connection, received.append, "default", events.id_of(2)):
        for event in (page(1), page(1, document=2), page(2), page(2, document=2)):
            pages.publish(event)
        await wait_until(lambda: len(received) == 2)
    assert received == [page(1, document=2), page(2, document=2)]


async def test_an_event_that_names_another_document_than_its_subject_is_dropped(
    connection: Connection,
) -> None:
    received: list[PageConverted] = []
    async with page_events(connection, received.append):
        for body in (b"", b"\xff", b'{"type":"page.converted/2"}'):
            await connection.client.publish(f"ilios.page.default.{events.id_of(1)}", body)
        forged = b'{"document_id":"%s","page":1,"of":1,"engine":"x","seconds":0}'
        name = events.id_of(2).encode()
        await connection.client.publish(f"ilios.page.default.{events.id_of(1)}", forged % name)
        PagePublisher(connection).publish(page(3))
        await wait_until(lambda: received == [page(3)])


async def test_while_the_bus_is_away_events_about_pages_are_dropped(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        for number in range(1000):
            PagePublisher(connection).publish(page(number))
        assert connection.client.pending_data_size == 0
