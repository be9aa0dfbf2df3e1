"""A worker publishes for the core that it agrees with, whatever happens to the log."""

from datetime import UTC, datetime

import pytest

from bus import epochs, streams
from bus.connection import Connection
from bus.epoch_records import Holder
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios import worker_epoch
from ilios.cluster_facts import ClusterFacts
from tests import events


def facts(process: str) -> ClusterFacts:
    return ClusterFacts(version="1", blobs="directory", process=process)


async def take(connection: Connection, process: str) -> int:
    since = datetime(2026, 1, 2, tzinfo=UTC)
    holder = Holder(core="c", process=process, host="h", directory="/d", version="1", since=since)
    return (await epochs.take(connection, holder, take_over=True)).epoch


async def make_log_again(connection: Connection) -> None:
    async with connection.setup_context() as js:
        await js.delete_stream(streams.EVENTS)
        await streams.ensure(js)


async def test_a_core_that_has_started_on_a_new_log_is_followed(
    connection: Connection,
) -> None:
    await take(connection, "first")
    former = await take(connection, "second")
    latest = facts("second")

    async def read() -> ClusterFacts:
        return latest

    await worker_epoch.follow(connection, latest, read)
    await make_log_again(connection)
    assert await take(connection, "third") < former
    latest = facts("third")

    assert await Publisher(connection).publish(events.submitted()) > 0


async def test_nothing_is_published_for_a_core_without_facts(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_epoch, "FACTS_TIMEOUT", 0.2)
    await take(connection, "first")

    async def read() -> ClusterFacts:
        return facts("first")

    await worker_epoch.follow(connection, facts("first"), read)
    await take(connection, "second")

    with pytest.raises(BusUnavailable, match="has published no facts"):
        await Publisher(connection).publish(events.submitted(), within=0.0)
