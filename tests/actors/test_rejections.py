"""A submission that is no valid event is rejected, and its publisher can read why."""

from collections.abc import Callable, Coroutine

import pytest

from bus import subjects
from bus.connection import Connection
from bus.publisher import Publisher
from schemas.documents import DocumentRejected
from tests import events
from tests.actors.db import Database, acknowledged, persister, publish_events
from tests.actors.running import Streams, running_in_background
from tests.waiting import wait_until

INVALID = b'{"type":"document.submitted/1","priority":99}'


async def publish_invalid(connection: Connection, number: int = 1) -> None:
    await Publisher(connection).publish_raw(
        subjects.subject_for(events.submitted(number)), INVALID, {}
    )


async def test_an_invalid_submission_is_rejected_with_its_reason(
    connection: Connection, db: Database
) -> None:
    await publish_invalid(connection)
    async with running_in_background(persister(connection, db).run):
        (rejected,) = await Streams(connection).wait_for(DocumentRejected)
        await wait_until(lambda: acknowledged(connection, 1))
    assert isinstance(rejected, DocumentRejected)
    assert (rejected.sequence, rejected.code) == (1, "invalid_event")
    assert "99" in rejected.reason or "priority" in rejected.reason
    record = await db.document()
    assert record
    assert (record.state, record.code, record.reason) == (
        "failed",
        "invalid_event",
        rejected.reason,
    )
    assert db.rows("usage") == []


@pytest.mark.parametrize("in_one_group", [True, False])
@pytest.mark.parametrize("valid_first", [True, False])
async def test_a_valid_submission_takes_effect_whatever_invalid_ones_have_its_id(
    connection: Connection,
    db: Database,
    in_one_group: bool,  # noqa: FBT001
    valid_first: bool,  # noqa: FBT001
) -> None:
    steps: list[Callable[[], Coroutine[None, None, None]]] = [
        lambda: publish_events(connection, events.submitted()),
        lambda: publish_invalid(connection),
    ]
    if not valid_first:
        steps.reverse()
    if in_one_group:
        for step in steps:
            await step()
    async with running_in_background(persister(connection, db).run):
        # Between the two is the rejection of the first.
        for step, sequence in zip(steps, (1, 2) if valid_first else (1, 3), strict=True):
            if not in_one_group:
                await step()
                await wait_until(lambda: db.is_at(sequence))  # noqa: B023
        await publish_events(connection, events.fetched(), events.converted())
        await wait_until(lambda: db.has_state("completed"))
    assert len(db.rows("documents")) == len(db.rows("usage")) == 1
    announced = await Streams(connection).events(DocumentRejected)
    assert len(announced) == (not valid_first and not in_one_group)


async def test_a_document_that_exists_is_not_changed_by_an_invalid_submission(
    connection: Connection, db: Database
) -> None:
    await publish_events(connection, events.submitted(), events.failed())
    await publish_invalid(connection)
    async with running_in_background(persister(connection, db).run):
        await wait_until(lambda: acknowledged(connection, 3))
    record = await db.document()
    assert record
    assert record.code == events.failed().code
    assert await Streams(connection).events(DocumentRejected) == []


async def test_a_rejection_has_the_labels_of_the_event_where_they_are_valid(
    connection: Connection, db: Database
) -> None:
    readable = b'{"priority":99,"reference":"case 17","metadata":{"a":1}}'
    subject = subjects.subject_for(events.submitted(1))
    await Publisher(connection).publish_raw(subject, readable, {})
    invalid = b'{"reference":"two\\nlines","metadata":{"a":1}}'
    await Publisher(connection).publish_raw(subjects.subject_for(events.submitted(2)), invalid, {})
    async with running_in_background(persister(connection, db).run):
        published = await Streams(connection).wait_for(DocumentRejected, 2)
    labels = [
        (event.reference, event.metadata)
        for event in published
        if isinstance(event, DocumentRejected)
    ]
    assert labels == [("case 17", {"a": 1}), (None, None)]
