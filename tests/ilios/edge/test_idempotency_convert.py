import asyncio
from typing import Any

import msgspec
import pytest

from ilios.edge import lookup
from schemas.documents import DocumentSubmitted
from tests.ilios.edge.test_idempotency import CONVERT, MARKDOWN, ask
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import CREATED_AT, World
from tests.waiting import wait_until


async def completed(world: World, submitted: DocumentSubmitted, **changed: Any) -> None:
    """Complete what was submitted in the database."""
    blob = await world.blobs.put_bytes("markdown/default/x", MARKDOWN.encode())
    done: dict[str, Any] = {
        "state": "completed",
        "markdown": blob,
        "pages": 1,
        "finished_at": CREATED_AT,
    }
    world.reads.add(msgspec.structs.replace(lookup.pending_record(submitted), **(done | changed)))


async def test_a_repeated_conversion_is_answered_with_what_the_first_has_made(
    world: World,
) -> None:
    world.publisher.on_submission = world.convert
    client = await world.serve()
    first = await ask(client, CONVERT, form_data())
    await completed(world, world.publisher.submitted)
    world.log.clear()
    again = await ask(client, CONVERT, form_data())
    assert (first.status, first.body, first.replayed) == (200, MARKDOWN, False)
    assert (again.status, again.body, again.replayed) == (200, MARKDOWN, True)
    assert len(world.publisher.published) == 1
    assert len(world.stored_files()) == 3  # the original, and the Markdown of either


async def test_a_repeated_conversion_waits_for_the_one_under_way(world: World) -> None:
    client = await world.serve(poll_interval=0.01)
    waiting = [asyncio.ensure_future(ask(client, CONVERT, form_data())) for _ in range(5)]
    await wait_until(lambda: len(world.stored_files()) == 1 and bool(world.publisher.published))
    await completed(world, world.publisher.submitted)
    answers = await asyncio.gather(*waiting)
    assert all((answer.status, answer.body) == (200, MARKDOWN) for answer in answers)
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 4
    assert len(world.publisher.published) == 1


async def test_a_repeated_conversion_that_failed_fails_again(world: World) -> None:
    world.publisher.on_submission = world.fail
    client = await world.serve()
    first = await ask(client, CONVERT, form_data())
    failed = {"state": "failed", "code": "corrupt", "reason": "The PDF is damaged."}
    await completed(world, world.publisher.submitted, **failed, retryable=False, markdown=None)
    again = await ask(client, CONVERT, form_data())
    members = ("title", "status", "detail", "error", "code", "details", "id")
    assert (first.status, again.status, again.replayed) == (422, 422, True)
    assert [first.body[name] for name in members] == [again.body[name] for name in members]


async def test_another_format_is_another_request(world: World) -> None:
    world.publisher.on_submission = world.convert
    client = await world.serve()
    assert (await ask(client, CONVERT, form_data())).status == 200
    answer = await ask(client, CONVERT, form_data(format="json"))
    assert (answer.status, answer.body["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("state", ["completed", "archived"])
async def test_what_is_archived_is_still_answered(world: World, state: str) -> None:
    world.publisher.on_submission = world.convert
    client = await world.serve()
    await ask(client, CONVERT, form_data())
    await completed(world, world.publisher.submitted, state=state)
    again = await ask(client, CONVERT, form_data())
    assert (again.status, again.body, again.replayed) == (200, MARKDOWN, True)
