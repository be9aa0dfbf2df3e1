"""Statistics of publishes, and what is made of missing permissions."""

from typing import Any

import pytest

from bus.connection import Connection
from bus.diagnostics import PermissionViolations
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


@pytest.mark.parametrize(
    ("operation", "subject", "is_problem"),
    [
        ("publish", "ilios.document.completed.p05.default.a", True),
        ("publish", "ilios.batch.completed.default.a", True),
        ("publish", "ilios.batch.progressed.default.a", True),
        ("publish", "$js.api.stream.info.ilios_events", True),
        ("subscription", "ilios.document.*.*.*.*", True),
        ("subscription", "ilios.batch.completed.*.*", False),
        ("subscription", "ilios.api.submit.default", False),
        ("publish", "ilios.page.default.a", False),
        ("publish", "ilios.cluster.core", False),
        ("publish", "$js.api.stream.info.obj_ilios-uploads-default", False),
    ],
)
def test_only_what_a_former_version_did_without_may_be_missing_on_an_external_bus(
    operation: str, subject: str, *, is_problem: bool
) -> None:
    error = Exception(f'nats: permissions violation for {operation} to "{subject}"')
    external, own = PermissionViolations(later_are_optional=True), PermissionViolations()
    assert external.record("ilios", error)
    assert own.record("ilios", error)
    assert bool(external.problems) == is_problem
    assert own.problems
