"""Questions to the leader of a stream: who may ask, and that a single server is asked once."""

from datetime import timedelta

import pytest

from bus import streams
from bus.connection import Connection, connect
from bus.log import Log, NewestEvent
from bus.publisher import Publisher
from bus.stored_messages import DirectGet, ask_leader
from ilios.nats.server import NatsServer
from ilios.nats.users import ROLES
from tests import events


@pytest.mark.parametrize("role", [role for role in ROLES if role != "objects"])
async def test_roles_that_read_the_log_may_ask_its_leader(
    nats_server: NatsServer, connection: Connection, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence = await Publisher(connection).publish(events.submitted())
    async with connect(nats_server.url(role), name=role) as asking:
        assert not asking.may_lag, "a single server is asked once"
        log = Log(asking)
        sent = asking.client.stats["out_msgs"]
        assert await log.submission("default", events.id_of(2)) is None
        assert asking.client.stats["out_msgs"] == sent + 1
        monkeypatch.setattr(Connection, "may_lag", True)
        assert await log.submission("default", events.id_of(2)) is None
        assert asking.client.stats["out_msgs"] == sent + 3
        assert await log.newest("default", events.id_of(1)) == NewestEvent(sequence, "submitted")


async def test_who_files_dead_letters_may_ask_their_leader(
    nats_server: NatsServer, connection: Connection
) -> None:
    headers = {"Nats-Msg-Id": "x", "Ilios-Reason": "a: b"}
    await connection.jetstream.publish("ilios.dead.submitted.default.x", b"\x00{}", headers=headers)
    for role in ("fetcher", "ocr", "persister", "aggregator"):
        async with connect(nats_server.url(role), name=role) as asking:
            found = await ask_leader(asking, streams.DEAD_LETTERS, {"seq": 1})
            assert found is not None
            assert (found.headers, found.body) == (headers, b"\x00{}")
            direct = await DirectGet(connection, streams.DEAD_LETTERS).get(1)
            assert direct is not None
            assert abs(direct.stored_at - found.stored_at) < timedelta(milliseconds=1)
