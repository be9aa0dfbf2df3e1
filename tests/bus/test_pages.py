"""Events about pages reach who subscribes, and hold up nobody."""

import pytest

from actors.draft_pages import MAX_REPLY_BYTES, DraftPages
from bus import streams
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.pages import DraftServer, PagePublisher, PageReader, page_events
from schemas.pages import PageConverted
from schemas.results import PageResult
from tests import events
from tests.actors.running import running_in_background
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


async def test_drafts_are_read_by_request_and_only_what_is_new(connection: Connection) -> None:
    store, reader = DraftPages(), PageReader(connection)
    name = ("default", events.id_of(1))
    async with running_in_background(DraftServer(connection, store.read).run):
        await wait_until(lambda: answers(reader, name))
        store.put(*name, [PageResult(index=0, markdown="one"), PageResult(index=1, markdown="two")])
        found = await reader.drafts(*name)
        assert [page.markdown for page in found.pages] == ["one", "two"]
        store.put(*name, [PageResult(index=0, markdown="ONE")])
        changed = await reader.drafts(*name, found.until)
        assert [(page.index, page.markdown) for page in changed.pages] == [(0, "ONE")]
        assert (await reader.drafts("default", events.id_of(2))).pages == ()


async def test_many_drafts_come_in_replies_that_the_bus_takes(connection: Connection) -> None:
    store, reader = DraftPages(), PageReader(connection)
    name = ("default", events.id_of(1))
    pages = [PageResult(index=n, markdown="x" * (MAX_REPLY_BYTES // 3)) for n in range(5)]
    async with running_in_background(DraftServer(connection, store.read).run):
        await wait_until(lambda: answers(reader, name))
        store.put(*name, pages)
        since, read = 0, list[int]()
        for more in (True, True, False):
            found = await reader.drafts(*name, since)
            assert found.more is more
            since = found.until
            read += [page.index for page in found.pages]
    assert read == [0, 1, 2, 3, 4]


async def test_of_several_workers_the_one_that_has_the_document_answers(
    connection: Connection,
) -> None:
    store, nothing, reader = DraftPages(), DraftPages(), PageReader(connection)
    name, other = ("default", events.id_of(1)), ("default", events.id_of(2))
    store.put(*name, [PageResult(index=0, markdown="one")])
    core = DraftServer(connection, nothing.read, has=nothing.has, without_after=0.2)
    idle = DraftServer(connection, nothing.read, has=nothing.has, without_after=None)
    working = DraftServer(connection, store.read, has=store.has, without_after=None)
    async with (
        running_in_background(core.run),
        running_in_background(idle.run),
        running_in_background(working.run),
    ):
        await wait_until(lambda: answers(reader, other))
        for _ in range(5):
            assert [page.markdown for page in (await reader.drafts(*name)).pages] == ["one"]
        assert (await reader.drafts(*other)).pages == ()


async def test_an_invalid_request_has_no_answer_and_the_next_has_one(
    connection: Connection,
) -> None:
    reader, name = PageReader(connection), ("default", events.id_of(1))
    async with running_in_background(DraftServer(connection, DraftPages().read).run):
        await wait_until(lambda: answers(reader, name))
        with pytest.raises(BusUnavailable):
            await connection.request(f"ilios.pages.default.{name[1]}", b'{"since":-1}', 0.2)
        reply = await connection.request(f"ilios.pages.default.{name[1]}", b"")
        assert reply.body == b'{"type":"pages.drafted/1","until":0,"more":false,"pages":[]}'


async def test_without_a_worker_there_are_no_drafts(connection: Connection) -> None:
    with pytest.raises(BusUnavailable):
        await PageReader(connection).drafts("default", events.id_of(1))


async def answers(reader: PageReader, name: tuple[str, str]) -> bool:
    """Whether the server of drafts has subscribed."""
    try:
        await reader.drafts(*name)
    except BusUnavailable:
        return False
    return True
