import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, FormData

from bus.errors import BusUnavailable, EventTooLarge, NotPublished
from ilios.edge import lookup
from ilios.edge.accept import derive_id
from schemas.batches import BatchSubmitted, document_submissions
from schemas.documents import DocumentSubmitted, Stored
from schemas.ids import is_id
from schemas.records import BatchCounts, DocumentRecord
from tests.ilios.edge.test_batches import many
from tests.ilios.edge.test_batches_status import batch
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import PDF, World, file_part, multipart_form, post_request

SUBMIT = "/api/documents/submit"
BATCH = "/v1/batch/submit"
CONVERT = "/v1/convert"
KEY = {"Idempotency-Key": "my-key"}
MARKDOWN = "# Grüße\n"


class Replay(msgspec.Struct):
    """What came back."""

    status: int
    body: Any
    replayed: bool


async def ask(client: ClientSession, path: str, data: FormData, **headers: str) -> Replay:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.post(path, data=data, headers=KEY | named) as answer:
        is_json = "json" in answer.content_type
        body = await answer.json(content_type=None) if is_json else await answer.text()
        return Replay(answer.status, body, answer.headers.get("Idempotent-Replayed") == "true")


def complete_first(world: World, **changed: Any) -> DocumentRecord:
    """Add what was submitted to the database, and remove it from the log."""
    event = world.publisher.published[0]
    assert isinstance(event, DocumentSubmitted)
    record = msgspec.structs.replace(lookup.pending_record(event), **changed)
    world.reads.add(record)
    world.log.clear()
    return record


async def test_a_repeated_request_gets_the_same_answer_and_makes_nothing(world: World) -> None:
    client = await world.serve()
    first = await ask(client, SUBMIT, form_data(retentionDays="30"))
    second = await ask(client, SUBMIT, form_data(retentionDays="30"))
    assert (first.status, first.replayed) == (202, False)
    assert (second.status, second.replayed) == (202, True)
    assert first.body == second.body
    assert is_id(first.body["id"])
    assert len(first.body["id"]) == 24
    assert len(world.publisher.published) == len(world.stored_files()) == 1
    source = world.publisher.submitted.source
    assert isinstance(source, Stored)
    key = f"originals/default/{first.body['id']}.{source.suffix}"
    assert [chunk async for chunk in world.blobs.read(key)] == [PDF], "the first upload is kept"


@pytest.mark.parametrize("state", ["pending", "processing", "completed", "failed", "archived"])
async def test_the_answer_is_the_same_when_only_the_database_remembers(
    world: World, state: str
) -> None:
    client = await world.serve()
    first = await ask(client, SUBMIT, form_data())
    complete_first(world, state=state)
    second = await ask(client, SUBMIT, form_data())
    assert second.replayed
    assert (second.status, second.body) == (202, first.body)
    assert len(world.publisher.published) == len(world.stored_files()) == 1


async def test_ten_equal_requests_at_once_make_one_document(world: World) -> None:
    client = await world.serve()
    answers = await asyncio.gather(*(ask(client, SUBMIT, form_data()) for _ in range(10)))
    assert {answer.status for answer in answers} == {202}
    assert all(answer.body == answers[0].body for answer in answers)
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 9
    assert len(world.publisher.published) == len(world.stored_files()) == 1


@pytest.mark.parametrize(
    "other",
    [
        form_data(PDF + b"!"),
        form_data(PDF, "other.pdf"),
        form_data(retentionDays="7"),
    ],
)
async def test_another_request_under_the_same_key_is_refused(world: World, other: FormData) -> None:
    client = await world.serve()
    assert (await ask(client, SUBMIT, form_data())).status == 202
    answer = await ask(client, SUBMIT, other)
    assert (answer.status, answer.body["code"]) == (422, "idempotency_key_reused")
    assert "use a new one" in answer.body["error"]
    assert len(world.publisher.published) == len(world.stored_files()) == 1


async def test_what_does_not_matter_may_differ(world: World) -> None:
    client = await world.serve()
    await ask(client, SUBMIT, form_data())
    again = form_data(utm_source="again")
    for data, headers in ((again, {}), (form_data(), {"X_Request_Id": "2"})):
        assert (await ask(client, SUBMIT, data, **headers)).replayed


@pytest.mark.parametrize("first", [SUBMIT, CONVERT, BATCH])
@pytest.mark.parametrize("second", [SUBMIT, CONVERT, BATCH])
async def test_a_key_belongs_to_one_endpoint(world: World, first: str, second: str) -> None:
    client = await world.serve(convert_timeout=0.01)
    assert (await ask(client, first, form_data())).status == 202
    answer = await ask(client, second, form_data())
    if first == second:
        assert (answer.status, answer.replayed) == (202, True)
    else:
        assert (answer.status, answer.body["code"]) == (422, "idempotency_key_reused")
    assert len(world.publisher.published) == len(world.stored_files()) == 1


async def test_the_keys_of_two_tenants_never_meet(world: World) -> None:
    client = await world.serve("key-1", "key-2")
    one = await ask(client, SUBMIT, form_data(), X_Api_Key="key-1")
    two = await ask(client, SUBMIT, form_data(b"other"), X_Api_Key="key-2")
    assert (one.status, two.status, two.replayed) == (202, 202, False)
    assert one.body["id"] != two.body["id"]


async def test_an_api_key_in_the_query_is_not_part_of_the_request(world: World) -> None:
    client = await world.serve("key-1")
    one = await ask(client, f"{SUBMIT}?apiKey=key-1", form_data())
    two = await ask(client, SUBMIT, form_data(), Authorization="Bearer key-1")
    assert (two.replayed, one.body) == (True, two.body)


@pytest.mark.parametrize(
    ("sent", "plain"),
    [('"my-key"', "my-key"), (r'"a \"b\" \\ c"', r'a "b" \ c'), ("  my-key ", "my-key")],
)
async def test_a_key_may_stand_in_quotes(world: World, sent: str, plain: str) -> None:
    client = await world.serve()
    answer = await ask(client, SUBMIT, form_data(), Idempotency_Key=sent)
    assert answer.body["id"] == derive_id("default", plain)


@pytest.mark.parametrize(
    "header",
    [
        "Idempotency-Key: ",
        'Idempotency-Key: ""',
        'Idempotency-Key: "open',
        'Idempotency-Key: "a"b"',
        'Idempotency-Key: "a";p=1',
        f"Idempotency-Key: {'x' * 256}",
        "Idempotency-Key: schl\u00fcssel",
        "Idempotency-Key: a\tb",
        "Idempotency-Key: a\r\nIdempotency-Key: b",
    ],
)
@pytest.mark.parametrize("path", [SUBMIT, BATCH, CONVERT])
async def test_what_is_no_key_is_refused_before_anything_is_stored(
    world: World, header: str, path: str
) -> None:
    await world.serve()
    answer = await world.send_raw(post_request(multipart_form(file_part()), header, path=path))
    assert (answer.status, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert world.publisher.published == []
    assert world.stored_files() == set()


async def test_a_refused_request_burns_no_key(world: World) -> None:
    client = await world.serve()
    for data in (FormData({"retentionDays": "7"}), form_data(retentionDays="0"), form_data(b"")):
        assert (await ask(client, SUBMIT, data)).status == 400
    answer = await ask(client, SUBMIT, form_data())
    assert (answer.status, answer.replayed) == (202, False)


@pytest.mark.parametrize("state", ["cancelled", "deleted"])
@pytest.mark.parametrize("path", [SUBMIT, CONVERT])
async def test_a_replay_of_a_removed_document_is_410_with_advice(
    world: World, state: str, path: str
) -> None:
    client = await world.serve(convert_timeout=0.01)
    await ask(client, path, form_data())
    complete_first(world, state=state)
    answer = await ask(client, path, form_data())
    assert (answer.status, answer.body["code"]) == (410, "document_removed")
    assert "use a new one" in answer.body["error"]
    assert len(world.stored_files()) == 1


async def test_an_uncertain_publish_keeps_its_upload_for_the_retry(
    world: World,
) -> None:
    client = await world.serve()
    world.publisher.error_after_publish = BusUnavailable("no acknowledgement")
    assert (await ask(client, SUBMIT, form_data())).status == 503
    world.publisher.error_after_publish = None
    answer = await ask(client, SUBMIT, form_data())
    assert (answer.status, answer.replayed) == (202, True)
    event = world.publisher.submitted
    assert answer.body["id"] == event.document_id
    async with client.get(f"/api/documents/{event.document_id}/original") as original:
        assert await original.read() == PDF
    assert len(world.stored_files()) == 1


async def test_an_unpublished_event_is_published_by_the_retry(world: World) -> None:
    client = await world.serve()
    world.publisher.error = BusUnavailable("no")
    assert (await ask(client, SUBMIT, form_data())).status == 503
    world.publisher.error = None
    answer = await ask(client, SUBMIT, form_data())
    assert (answer.status, answer.replayed) == (202, False)


async def test_an_upload_certainly_not_published_is_deleted(world: World) -> None:
    client = await world.serve()
    world.publisher.error = EventTooLarge("no")
    assert (await ask(client, SUBMIT, form_data())).status == 413
    assert world.stored_files() == set()


@pytest.mark.parametrize("path", [SUBMIT, BATCH, CONVERT])
@pytest.mark.parametrize("away", ["publisher", "log"])
async def test_repeating_it_while_the_bus_is_away_does_not_fill_the_volume(
    world: World, path: str, away: str
) -> None:
    client = await world.serve()
    getattr(world, away).error = NotPublished("no") if away == "publisher" else BusUnavailable("no")
    for _ in range(3):
        data = many(b"one", b"two") if path == BATCH else form_data()
        assert (await ask(client, path, data)).status == 503
    assert world.stored_files() == set()


async def test_our_own_event_reported_as_duplicate_keeps_its_upload(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.serve()
    say_first = world.publisher.publish_if_first

    async def twice(event: Any) -> int:
        await say_first(event)
        return await say_first(event)

    monkeypatch.setattr(world.publisher, "publish_if_first", twice)
    answer = await ask(client, SUBMIT, form_data())
    assert (answer.status, answer.replayed) == (202, False)
    assert len(world.stored_files()) == 1


async def test_an_id_that_somebody_else_has_used_is_no_repetition(world: World) -> None:
    client = await world.serve()
    source = Stored(size=1, sha256="0" * 64)
    world.log.add(DocumentSubmitted(document_id=derive_id("default", "my-key"), source=source))
    answer = await ask(client, SUBMIT, form_data())
    assert (answer.status, answer.body["code"]) == (422, "idempotency_key_reused")


async def test_a_repeated_batch_gets_the_same_answer_and_makes_nothing(world: World) -> None:
    client = await world.serve()
    first = await ask(client, BATCH, many(b"one", b"two", priority="7"))
    again = await asyncio.gather(
        *(ask(client, BATCH, many(b"one", b"two", priority="7")) for _ in range(5))
    )
    assert (first.status, first.replayed) == (202, False)
    assert all((answer.status, answer.replayed) == (202, True) for answer in again)
    assert all(answer.body == first.body for answer in again)
    assert (len(world.publisher.published), len(world.stored_files())) == (1, 2)

    event = world.publisher.published[0]
    assert isinstance(event, BatchSubmitted)
    world.batches.add(
        batch(
            batch_id=event.batch_id,
            submitted_at=event.submitted_at,
            fingerprint=event.fingerprint,
            progress=BatchCounts(total=2, completed=2),
        )
    )
    for document in document_submissions(event):
        world.reads.add(
            msgspec.structs.replace(
                lookup.pending_record(document, event.batch_id), state="completed"
            )
        )
    world.log.clear()
    later = await ask(client, BATCH, many(b"one", b"two", priority="7"))
    assert (later.replayed, later.body) == (True, first.body)
    for other in (many(b"one", b"two"), many(b"two", b"one", priority="7")):
        answer = await ask(client, BATCH, other)
        assert (answer.status, answer.body["code"]) == (422, "idempotency_key_reused")
    assert (len(world.publisher.published), len(world.stored_files())) == (1, 2)
