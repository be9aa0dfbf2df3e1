"""The facts on the bus are those of the core that has the log."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus import cluster, epochs
from bus.connection import Connection
from bus.epoch_records import Holder
from bus.epochs import OwnEpoch
from bus.errors import BusUnavailable, Superseded
from ilios import cluster_facts
from ilios.blobs.shared_directory import ensure_marked, write_mark
from ilios.core_announcement import Announcement, announce
from ilios.passwords.seal import Seal
from ilios.secret import Secret
from ilios.settings.settings import Settings

SEAL = Seal(bytes(32))


async def core(connection: Connection, name: str, root: Path) -> Announcement:
    """A core that has taken the log over and published its facts."""
    since = datetime(2026, 1, 2, tzinfo=UTC)
    holder = Holder(
        core=name, process=name, host="h", directory=f"/{name}", version="1", since=since
    )
    own = OwnEpoch(connection, await epochs.take(connection, holder, take_over=True), 3600.0)
    settings = Settings(data_dir=root, shared_blobs=root, nats_url=Secret("nats://127.0.0.1:4222"))
    _counts, announcement = await announce(settings, connection, SEAL, own)
    assert announcement is not None
    return announcement


async def process_on_the_bus(connection: Connection) -> str:
    facts = await cluster.read_facts(connection)
    assert facts is not None
    return cluster_facts.decode(facts).process


async def test_facts_that_a_replaced_core_has_published_late_are_replaced(
    connection: Connection, tmp_path: Path
) -> None:
    first = await core(connection, "first", tmp_path)
    second = await core(connection, "second", tmp_path)
    write_mark(tmp_path, first.mark)  # it was stopped just before
    await cluster.publish_facts(connection, first.facts)

    await second.look()
    ensure_marked(tmp_path, second.mark)

    assert await process_on_the_bus(connection) == "second"


async def test_a_core_that_was_replaced_leaves_the_facts_of_the_other_one(
    connection: Connection, tmp_path: Path
) -> None:
    first = await core(connection, "first", tmp_path)
    await core(connection, "second", tmp_path)

    with pytest.raises(Superseded):
        await first.look()

    assert await process_on_the_bus(connection) == "second"


async def test_facts_that_the_bus_did_not_take_at_the_start_follow_later(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise BusUnavailable("no leader")

    with monkeypatch.context() as during_an_election:
        during_an_election.setattr(cluster, "publish_facts", away)
        announcement = await core(connection, "only", tmp_path)
    assert await cluster.read_facts(connection) is None

    await announcement.look()
    assert await process_on_the_bus(connection) == "only"
