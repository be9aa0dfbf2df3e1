"""Of several who say the same, one is first, and the others hear that they were not."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from bus.connection import Connection
from bus.errors import AlreadySaid, BusUnavailable
from bus.log import Log
from bus.publisher import Publisher
from tests import batch_events, events


async def test_what_was_said_by_anybody_is_not_said_again(connection: Connection) -> None:
    publisher = Publisher(connection)
    await publisher.say(events.submitted(priority=5))
    for again in (events.submitted(priority=5), events.submitted(priority=9)):
        with pytest.raises(AlreadySaid):
            await publisher.say_first(again)
    await publisher.say_first(events.submitted(2))
    await publisher.say_first(events.submitted(tenant="other"))
    await publisher.say_first(events.fetched())


async def test_of_many_at_once_one_is_first(connection: Connection) -> None:
    publisher = Publisher(connection)
    batches = [batch_events.submitted(priority=priority) for priority in range(1, 11)]
    said = await asyncio.gather(*map(publisher.say_first, batches), return_exceptions=True)
    (first,) = (
        batch
        for batch, answer in zip(batches, said, strict=True)
        if not isinstance(answer, BaseException)
    )
    assert sum(isinstance(answer, AlreadySaid) for answer in said) == 9
    found = await Log(connection).batch("default", batch_events.name())
    assert found is not None
    assert found.event == first


async def test_whoever_lost_its_acknowledgement_meets_its_own_event(
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
    with pytest.raises(AlreadySaid):
        await Publisher(connection).say_first(event)
    assert await Log(connection).submission("default", events.name(1)) == event
