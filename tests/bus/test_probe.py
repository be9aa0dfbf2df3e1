"""The probe publishes only without a recent acknowledgement."""

from typing import Any

import msgspec
import pytest

from bus import publisher as module
from bus import streams
from bus.connection import Connection, connect
from bus.diagnostics import PublishStats
from bus.errors import BusFull, BusUnavailable
from bus.publisher import Probe, Publisher
from ilios.nats.server import NatsServer
from tests import events
from tests.bus.conftest import KillableServer


async def last_sequence(connection: Connection) -> int:
    return (await streams.identity(connection.jetstream)).last_sequence


def problem_of(probe: Probe) -> str | None:
    return probe.problem


async def test_an_unused_log_is_in_doubt_until_a_probe_is_stored(
    connection: Connection,
) -> None:
    probe = Probe(connection)
    assert problem_of(probe) == "nothing was published since the server started"
    await probe.check_writable()
    assert not problem_of(probe)
    message = await connection.jetstream.get_msg(streams.EVENTS, 1)
    assert message.subject == "ilios.janitor.probed"
    assert msgspec.json.decode(message.data or b"") == {"type": "janitor.probed/1"}


async def test_an_event_stored_a_moment_ago_is_proof_enough(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe(connection)
    await Publisher(connection).publish(events.submitted())
    await probe.check_writable()
    assert await last_sequence(connection) == 1
    monkeypatch.setattr(module, "ACK_VALID_FOR", 0.0)
    await probe.check_writable()
    assert await last_sequence(connection) == 2


async def test_an_unacknowledged_publish_is_in_doubt_until_a_later_one_is_stored(
    killable_server: KillableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.publisher.ACK_TIMEOUT", 0.2)
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        probe = Probe(connection)
        await probe.check_writable()
        await killable_server.freeze()
        with pytest.raises(BusUnavailable):
            await Publisher(connection).publish(events.submitted(), within=0.0)
        assert problem_of(probe) == "the last 1 publishes were not acknowledged"
        with pytest.raises(BusUnavailable):
            await probe.check_writable()
        killable_server.thaw()
        monkeypatch.setattr("bus.publisher.ACK_TIMEOUT", 10.0)
        await probe.check_writable()
        assert not problem_of(probe)


async def test_a_log_that_no_server_leads_is_in_doubt_until_an_event_is_stored(
    connection: Connection,
) -> None:
    probe = Probe(connection)
    await probe.check_writable()
    await connection.jetstream.delete_stream(streams.EVENTS)
    with pytest.raises(BusUnavailable):
        await Publisher(connection).publish(events.submitted(), within=0.0)
    assert "has no leader" in (problem_of(probe) or "")
    with pytest.raises(BusUnavailable):
        await probe.check_writable()
    await streams.ensure(connection.jetstream)
    await probe.check_writable()
    assert not problem_of(probe)


async def test_in_a_cluster_an_acknowledgement_is_proof_for_a_shorter_time(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACK_VALID_FOR_IN_CLUSTER", 0.0)
    await Probe(connection).check_writable()
    await Probe(connection).check_writable()
    assert await last_sequence(connection) == 1
    monkeypatch.setattr(Connection, "may_lag", True)
    await Probe(connection).check_writable()
    assert await last_sequence(connection) == 2


async def test_a_full_log_is_doubt(connection: Connection) -> None:
    config = (await connection.jetstream.stream_info(streams.EVENTS)).config
    await connection.jetstream.update_stream(config.evolve(max_msgs=1))
    probe = Probe(connection)
    await probe.check_writable()
    with pytest.raises(BusFull):
        await Publisher(connection).publish(events.submitted())
    assert problem_of(probe) == "the log is full: it takes no more events"


async def test_the_role_that_probes_may_do_so(
    nats_server: NatsServer, connection: Connection
) -> None:
    async with connect(nats_server.url("janitor"), name="janitor") as role:
        await Probe(role).check_writable()
    assert await last_sequence(connection) == 1


def test_an_acknowledgement_of_a_former_server_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    clock: Any = type("Clock", (), {"monotonic": staticmethod(lambda: now[0])})
    monkeypatch.setattr("bus.diagnostics.time", clock)
    noted = PublishStats()
    noted.record_reply(stored=True)
    now[0] += 5
    assert noted.seconds_since_ack == 5
    noted.reset(before=99.0)
    assert noted.seconds_since_ack == 5, "it was stored by the server that started at 99"
    noted.reset(before=101.0)
    assert noted.seconds_since_ack is None


def test_publish_latency_is_measured_over_recent_acks_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    clock: Any = type("Clock", (), {"monotonic": staticmethod(lambda: now[0])})
    monkeypatch.setattr("bus.diagnostics.time", clock)
    noted = PublishStats()
    for _ in range(39):
        noted.record_reply(stored=True, latency=2.0)
    assert noted.median_latency == 0.0
    noted.record_reply(stored=True, latency=0.1)
    assert noted.median_latency == 2.0
    now[0] += 61
    assert noted.median_latency == 0.0
