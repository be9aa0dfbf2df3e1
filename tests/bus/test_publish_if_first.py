"""Of several who say the same, one is first, and the others hear that they were not."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from bus.connection import Connection
from bus.errors import AlreadyPublished, BusUnavailable
from bus.log import Log
from bus.publisher import Publisher
from tests import batch_events, events


async def test_an_event_published_by_anybody_is_not_published_again(connection: Connection) -> None:
    publisher = Publisher(connection)
    await publisher.publish(events.submitted(priority=5))
    for again in (events.submitted(priority=5), events.submitted(priority=9)):
        with pytest.raises(AlreadyPublished):
            await publisher.publish_if_first(again)
    await publisher.publish_if_first(events.submitted(2))
    await publisher.publish_if_first(events.submitted(tenant="other"))
    await publisher.publish_if_first(events.fetched())


async def test_of_many_simultaneous_publishes_exactly_one_is_first(connection: Connection) -> None:
    publisher = Publisher(connection)
    batches = [batch_events.submitted(priority=priority) for priority in range(1, 11)]
    outcomes = await asyncio.gather(
        *map(publisher.publish_if_first, batches), return_exceptions=True
    )
    (first,) = (
        batch
        for batch, answer in zip(batches, outcomes, strict=True)
        if not isinstance(answer, BaseException)
    )
    assert sum(isinstance(answer, AlreadyPublished) for answer in outcomes) == 9
    found = await Log(connection).batch("default", batch_events.id_of())
    assert found is not None
    assert found.event == first


async def test_a_publisher_that_lost_its_ack_finds_its_own_event(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log looks at who was first before it looks for duplicates."""
    publish, tries = Publisher._publish_once, 0

    async def lost(self: Publisher, subject: str, body: bytes, headers: dict[str, str]) -> int:
        nonlocal tries
        tries += 1
        sequence = await publish(self, subject, body, headers)
        if tries == 1:
            raise BusUnavailable("the acknowledgement was lost")
        return sequence

    monkeypatch.setattr(Publisher, "_publish_once", lost)
    submitted = events.submitted(submitted_at=datetime.now(UTC))
    event = msgspec.structs.replace(submitted, fingerprint="0" * 64)
    with pytest.raises(AlreadyPublished):
        await Publisher(connection).publish_if_first(event)
    assert await Log(connection).submission("default", events.id_of(1)) == event
