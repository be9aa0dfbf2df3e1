"""What tests share: a real nats-server, a connection to it, and the streams."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from bus import streams
from bus.connection import Connection, connect
from ilios.nats_server import NatsServer, embedded

# What a test logs is shown when it fails; rendering it must not take the time that deadlines have.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A nats-server of its own for this test, with a store of its own."""
    async with embedded(tmp_path / "nats", 0) as server:
        yield server


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Connection]:
    """A connection to this test's nats-server, on which the streams exist."""
    async with connect(nats_server.url("operator"), name="tests") as connection:
        await streams.ensure(connection.jetstream)
        yield connection
