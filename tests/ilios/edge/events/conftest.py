"""An edge whose events come from a real log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.connection import Connection, connect
from bus.event_log import EventLog
from bus.publisher import Publisher
from ilios.blobs.local import LocalBlobs
from ilios.nats.server import NatsServer
from tests.ilios.edge.world import World


@pytest.fixture
async def publisher(connection: Connection) -> Publisher:
    return Publisher(connection)


@pytest.fixture
async def world(
    blob_root: Path,
    nats_server: NatsServer,
    connection: Connection,  # the log exists
) -> AsyncIterator[World]:
    async with (
        LocalBlobs.open(blob_root) as blobs,
        connect(nats_server.url("edge"), name="edge") as edge,
    ):
        made = World(blobs, blob_root)
        made.events = EventLog(edge)
        yield made
        await made.close()
        assert not edge.permission_violations.problems
