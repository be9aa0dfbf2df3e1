"""Whether the log can be written is asked of the log, and only when nobody has shown it lately."""

from typing import Any

import msgspec
import pytest

from bus import probe as module
from bus import streams
from bus.acknowledgements import Acknowledgements
from bus.connection import Connection, connect
from bus.errors import BusFull, BusUnavailable
from bus.probe import Probe
from bus.publisher import Publisher
from ilios.nats_server import NatsServer
from tests import events
from tests.bus.conftest import MortalServer


async def last_of(connection: Connection) -> int:
    return (await streams.identity(connection.jetstream)).last_sequence


def doubt(probe: Probe) -> str | None:
    return probe.doubt


async def test_a_log_that_nobody_has_written_on_is_in_doubt_until_a_probe_is_stored(
    connection: Connection,
) -> None:
    probe = Probe(connection)
    assert doubt(probe) == "nothing was published since the server started"
    await probe.prove()
    assert not doubt(probe)
    message = await connection.jetstream.get_msg(streams.EVENTS, 1)
    assert message.subject == "ilios.janitor.probed"
    assert msgspec.json.decode(message.data or b"") == {"type": "janitor.probed/1"}


async def test_an_event_stored_a_moment_ago_is_proof_enough(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe(connection)
    await Publisher(connection).say(events.submitted())
    await probe.prove()
    assert await last_of(connection) == 1
    monkeypatch.setattr(module, "PROVEN_FOR", 0.0)
    await probe.prove()
    assert await last_of(connection) == 2


async def test_a_publish_without_acknowledgement_is_doubt_until_one_is_stored(
    mortal: MortalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.publisher.ACKNOWLEDGED_WITHIN", 0.2)
    async with connect(mortal.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        probe = Probe(connection)
        await probe.prove()
        await mortal.freeze()
        with pytest.raises(BusUnavailable):
            await Publisher(connection).say(events.submitted(), within=0.0)
        assert doubt(probe) == "the last 1 publishes were not acknowledged"
        with pytest.raises(BusUnavailable):
            await probe.prove()
        mortal.thaw()
        monkeypatch.setattr("bus.publisher.ACKNOWLEDGED_WITHIN", 10.0)
        await probe.prove()
        assert not doubt(probe)


async def test_a_full_log_is_doubt(connection: Connection) -> None:
    config = (await connection.jetstream.stream_info(streams.EVENTS)).config
    await connection.jetstream.update_stream(config.evolve(max_msgs=1))
    probe = Probe(connection)
    await probe.prove()
    with pytest.raises(BusFull):
        await Publisher(connection).say(events.submitted())
    assert doubt(probe) == "the log is full: it takes no more events"


async def test_the_role_that_probes_may_do_so(
    nats_server: NatsServer, connection: Connection
) -> None:
    async with connect(nats_server.url("janitor"), name="janitor") as role:
        await Probe(role).prove()
    assert await last_of(connection) == 1


def test_what_was_stored_by_a_server_that_is_gone_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    clock: Any = type("Clock", (), {"monotonic": staticmethod(lambda: now[0])})
    monkeypatch.setattr("bus.acknowledgements.time", clock)
    noted = Acknowledgements()
    noted.answered(stored=True)
    now[0] += 5
    assert noted.stored_ago == 5
    noted.forget(before=99.0)
    assert noted.stored_ago == 5, "it was stored by the server that started at 99"
    noted.forget(before=101.0)
    assert noted.stored_ago is None


def test_how_long_an_acknowledgement_takes_is_told_of_many_and_not_of_old_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    clock: Any = type("Clock", (), {"monotonic": staticmethod(lambda: now[0])})
    monkeypatch.setattr("bus.acknowledgements.time", clock)
    noted = Acknowledgements()
    for _ in range(39):
        noted.answered(stored=True, took=2.0)
    assert noted.usual_seconds == 0.0
    noted.answered(stored=True, took=0.1)
    assert noted.usual_seconds == 2.0
    now[0] += 61
    assert noted.usual_seconds == 0.0
