"""A worker that does not support an option leaves the document to one that does."""

from contextlib import AsyncExitStack

import msgspec
from nats.js.errors import NotFoundError

from bus import codec, subjects
from bus.connection import Connection
from bus.publisher import Publisher
from schemas.documents import DocumentFailed, DocumentFetched, DocumentSubmitted
from schemas.options import options_from_json, options_to_json
from tests import events
from tests.actors.running import Streams, running_in_background
from tests.actors.scripted_actor import ScriptedActor
from tests.waiting import wait_until

LANGUAGE = options_from_json(b'{"pages":"1-2","dialect":"de"}')
SUBMITTED = msgspec.structs.replace(events.submitted(), options=LANGUAGE)


class LaterActor(ScriptedActor):
    """A worker of a later version, which supports the option."""

    def unsupported_options(self, event: DocumentSubmitted) -> tuple[str, ...]:
        return tuple(name for name in event.options.unsupported if name != "dialect")


async def was_delivered(log: Streams, worker: ScriptedActor, times: int) -> bool:
    try:
        return await log.delivery_count(worker.consumer) >= times
    except NotFoundError:
        return False


async def test_a_worker_that_supports_an_option_converts_the_document(
    connection: Connection,
) -> None:
    log = Streams(connection)
    worker = ScriptedActor(connection, unsupported_option_timeout=60.0)
    later = LaterActor(connection)
    await Publisher(connection).publish(SUBMITTED)
    async with AsyncExitStack() as stack:
        _ = await stack.enter_async_context(running_in_background(worker.run))

        await wait_until(lambda: was_delivered(log, worker, 1))
        _ = await stack.enter_async_context(running_in_background(later.run))
        await log.wait_for(DocumentFetched)
        await wait_until(lambda: log.all_acked(worker.consumer))
    assert worker.deliveries_of() == []
    (delivery,) = later.deliveries_of()
    assert delivery.attempt > 1
    assert await log.events(DocumentFailed) == []
    assert await log.dead_letters() == []


async def test_a_document_with_an_option_that_no_worker_supports_fails(
    connection: Connection,
) -> None:
    log = Streams(connection)
    first = ScriptedActor(connection, unsupported_option_timeout=0.8)
    await Publisher(connection).publish(SUBMITTED)
    async with running_in_background(first.run):
        await wait_until(lambda: was_delivered(log, first, 2))
    assert await log.events(DocumentFailed) == []
    # Another process goes on from there.
    second = ScriptedActor(connection, unsupported_option_timeout=0.8)
    async with running_in_background(second.run):
        (failed,) = await log.wait_for(DocumentFailed)
        await wait_until(lambda: log.all_acked(second.consumer))
    assert isinstance(failed, DocumentFailed)
    assert failed.code == "option_not_supported"
    assert '"dialect"' in failed.reason
    assert await log.delivery_count(first.consumer) == 5
    assert first.deliveries_of() == second.deliveries_of() == []
    (letter,) = await log.dead_letters()
    assert codec.decode(subjects.subject_for(SUBMITTED), letter.data or b"") == SUBMITTED


async def test_a_password_among_the_options_fails_the_document_at_once_and_goes_no_further(
    connection: Connection,
) -> None:
    options = options_from_json(b'{"pages":"1-2","password":"open sesame"}')
    assert b"sesame" not in options_to_json(options)
    log = Streams(connection)
    worker = ScriptedActor(connection, unsupported_option_timeout=60.0)
    await Publisher(connection).publish(msgspec.structs.replace(SUBMITTED, options=options))
    async with running_in_background(worker.run):
        (failed,) = await log.wait_for(DocumentFailed)
    assert isinstance(failed, DocumentFailed)
    assert failed.code == "option_not_supported"
    assert 'Unknown option "password"' in failed.reason
    assert not failed.retryable
    assert worker.deliveries_of() == []
