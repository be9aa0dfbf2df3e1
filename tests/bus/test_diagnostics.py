"""Statistics of publishes."""

from typing import Any

import pytest

from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from tests import events


async def test_timeouts_are_counted_until_a_reply(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, noted = Publisher(connection), connection.publish_stats
    request = connection.client.request

    async def lose(*_: Any, **__: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(connection.client, "request", lose)
    with pytest.raises(BusUnavailable):
        await publisher.publish(events.submitted(1), within=0.3)
    assert noted.consecutive_timeouts > 1
    assert noted.unanswered_seconds > 0
    monkeypatch.setattr(connection.client, "request", request)
    await publisher.publish(events.submitted(1))
    assert (noted.consecutive_timeouts, noted.unanswered_seconds, noted.stream_full) == (
        0,
        0.0,
        False,
    )
