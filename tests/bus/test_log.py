"""Events of a document are looked up on the log."""

from datetime import UTC, datetime

import pytest

from bus import subjects
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.log import Log
from bus.publisher import Publisher
from ilios.nats.server import NatsServer
from tests import events
from tests.bus.conftest import KillableServer
from tests.bus.raw_client import RawClient, publish
from tests.waiting import wait_until

ID = events.id_of(1)


async def test_a_submission_is_found_whatever_its_priority(connection: Connection) -> None:
    now = datetime.now(UTC)
    for number in range(1, 11):
        event = events.submitted(number, priority=number, submitted_at=now)
        await Publisher(connection).publish(event)
    for number in range(1, 11):
        found = await Log(connection).submission("default", events.id_of(number))
        assert found == events.submitted(number, priority=number, submitted_at=now)


async def test_a_time_that_cannot_be_right_gives_way_to_the_logs_own(
    connection: Connection,
) -> None:
    """As in the database later, so that a document has one date only."""
    absurd = datetime(1970, 1, 1, tzinfo=UTC)
    await Publisher(connection).publish(events.submitted(submitted_at=absurd))
    log = Log(connection)
    found, first = await log.submission("default", ID), await log.first_submission("default", ID)
    assert found is not None
    assert first is not None
    assert found.submitted_at == first.stored_at


async def test_an_invalid_submission_has_its_rejection_before_that_is_published(
    connection: Connection,
) -> None:
    log = Log(connection)
    assert await log.rejection("default", ID) is None
    subject = subjects.subject_for(events.submitted())
    body = b'{"type":"document.submitted/1","reference":"r 1"}'
    await Publisher(connection).publish_raw(subject, body, {})
    found = await log.rejection("default", ID)
    assert found is not None
    assert (found.event.sequence, found.event.reference) == (1, "r 1")
    assert await log.submission("default", ID) is None
    await Publisher(connection).publish(events.submitted(2))
    assert await log.rejection("default", events.id_of(2)) is None


async def test_a_document_of_another_tenant_looks_unknown(connection: Connection) -> None:
    await Publisher(connection).publish(events.submitted(tenant="acme"))
    log = Log(connection)
    assert await log.submission("acme", ID)
    assert await log.submission("default", ID) is None
    assert await log.submission("acme", events.id_of(2)) is None


async def test_the_first_submission_is_the_valid_one(connection: Connection) -> None:
    publisher = Publisher(connection)
    await publisher.publish(events.submitted(2))
    await publisher.publish(events.submitted(priority=9))
    again = events.submitted(file_name="other.txt")
    await publisher.publish_raw(
        f"ilios.document.submitted.p05.default.{ID}", b'{"not": "an event"}', {}
    )
    assert again != events.submitted(priority=9)
    found = await Log(connection).first_submission("default", ID)
    assert found
    assert (found.sequence, found.event) == (2, events.submitted(priority=9))


async def test_a_malformed_submission_does_not_occupy_an_id(connection: Connection) -> None:
    publisher = Publisher(connection)
    for nonsense in (b"{bad", b'{"not": "an event"}'):
        await publisher.publish_raw(f"ilios.document.submitted.p05.default.{ID}", nonsense, {})
    await publisher.publish(events.submitted())
    found = await Log(connection).first_submission("default", ID)
    assert found
    assert (found.sequence, found.event) == (3, events.submitted())


async def test_the_last_event_of_a_document_is_found(connection: Connection) -> None:
    publisher, log = Publisher(connection), Log(connection)
    await publisher.publish(events.submitted())
    assert await log.last_event("default", ID, event_name="converted") is None
    sequence = await publisher.publish(events.converted())
    stored = await log.last_event("default", ID, event_name="converted")
    assert stored
    assert (stored.sequence, stored.event) == (sequence, events.converted())
    assert await log.last_event("acme", ID, event_name="converted") is None


@pytest.mark.parametrize(
    "header",
    [None, b"NATS/1.0\r\nStatus: 404\r\n\r\n", b"NATS/1.0\r\nNats-Sequence: x\r\n\r\n", b"NATS"],
)
async def test_nonsense_under_an_id_is_no_submission(
    nats_server: NatsServer, connection: Connection, header: bytes | None
) -> None:
    subject = f"ilios.document.submitted.p05.default.{ID}".encode()
    async with RawClient(nats_server.url("operator")) as publisher:
        assert await publisher.send(publish(subject, b"", header=header)) == b""
    assert await Log(connection).submission("default", ID) is None
    assert await Log(connection).first_submission("default", ID) is None


async def test_a_log_that_does_not_answer_is_an_error(killable_server: KillableServer) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        with pytest.raises(BusUnavailable):  # there is no stream
            await Log(connection).submission("default", ID)
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        with pytest.raises(BusUnavailable):
            await Log(connection).submission("default", ID)
