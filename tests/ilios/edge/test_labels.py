"""Reference, metadata and priority of clients: taken at every door and returned with the answer."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession, FormData

from ilios.edge import lookup
from ilios.edge.accept import fingerprint
from schemas.documents import DocumentCancelled, DocumentSubmitted
from schemas.labels import Labels
from schemas.options import ConversionOptions
from tests.ilios.edge.test_batches import many, submitted
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.test_upload_urls import complete, put, request_upload_url
from tests.ilios.edge.world import PDF, World

SUBMIT, BATCH, CONVERT = "/api/documents/submit", "/v1/batch/submit", "/v1/convert"
REFERENCE = "Fall 17 · ü"
METADATA = {"z": 1, "a": {"deep": [1.5, None, "x"]}}
TEXTS = {"reference": REFERENCE, "metadata": json.dumps(METADATA), "priority": "8"}
MEMBERS = {"reference": REFERENCE, "metadata": METADATA, "priority": 8}
ECHO = {"reference": REFERENCE, "clientMetadata": METADATA}


def echo(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ECHO if name in body}


def labels(event: Any) -> tuple[Any, Any]:
    return event.reference, event.metadata


async def answer_of(client: ClientSession, path: str, **sent: Any) -> dict[str, Any]:
    async with client.post(path, **sent) as answer:
        assert answer.status == 202, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


@pytest.mark.parametrize(
    "sent",
    [
        {"data": lambda: form_data(PDF, "paper.pdf", **TEXTS)},
        {"data": form_data, "params": TEXTS},
        {"data": lambda: PDF, "params": TEXTS},
        {"json": lambda: {"url": "https://example.com/a.pdf", **MEMBERS}},
        {"json": lambda: {"url": "https://example.com/a.pdf"}, "params": TEXTS},
    ],
)
async def test_a_document_has_the_labels_of_its_request(world: World, sent: dict[str, Any]) -> None:
    client = await world.serve()
    given = {name: value() if callable(value) else value for name, value in sent.items()}
    body = await answer_of(client, SUBMIT, **given)
    event = world.publisher.submitted
    assert (*labels(event), event.priority) == (REFERENCE, METADATA, 8)
    assert echo(body) == ECHO
    async with client.get(body["statusUrl"]) as status:
        assert echo(await status.json()) == ECHO


async def test_without_labels_an_answer_has_no_members_for_them(world: World) -> None:
    client = await world.serve()
    body = await answer_of(client, SUBMIT, data=form_data(reference="", metadata="", priority=""))
    assert echo(body) == {}
    assert (*labels(world.publisher.submitted), world.publisher.submitted.priority) == (
        None,
        None,
        5,
    )


async def test_a_document_that_is_waited_for_is_urgent_unless_its_request_differs(
    world: World,
) -> None:
    client = await world.serve(convert_timeout=0.05)
    assert echo(await answer_of(client, CONVERT, data=form_data(PDF, "paper.pdf", **TEXTS))) == ECHO
    assert world.publisher.submitted.priority == 8
    world.publisher.published.clear()
    await answer_of(client, CONVERT, data=form_data())
    assert world.publisher.submitted.priority == 10


async def test_a_result_has_the_labels_of_its_document(world: World) -> None:
    client = await world.serve()
    record = await world.add_completed(b"# A", reference=REFERENCE, metadata=METADATA)
    async with client.get(f"/api/documents/{record.document_id}?format=json") as answer:
        assert echo(await answer.json()) == ECHO


async def test_a_form_gives_its_labels_to_the_batch_alone(world: World) -> None:
    client = await world.serve()
    body = await answer_of(client, BATCH, data=many(b"%PDF one", b"%PDF two", **TEXTS))
    event = submitted(world)
    assert (*labels(event), event.priority) == (REFERENCE, METADATA, 8)
    assert [labels(one) for one in event.documents] == [(None, None)] * 2
    assert echo(body) == ECHO
    assert [echo(one) for one in body["documents"]] == [{}, {}]
    async with client.get(body["statusUrl"]) as status:
        assert echo(await status.json()) == ECHO


async def test_documents_of_a_batch_by_url_have_labels_of_their_own(world: World) -> None:
    client = await world.serve()
    one = {"url": "https://example.com/a", "reference": "one", "metadata": {"n": 1}}
    documents = [one, "https://example.com/b"]
    body = await answer_of(client, BATCH, json={"documents": documents, "reference": "all"})
    event = submitted(world)
    assert labels(event) == ("all", None)
    assert [labels(one) for one in event.documents] == [("one", {"n": 1}), (None, None)]
    assert echo(body["documents"][0]) == {"reference": "one", "clientMetadata": {"n": 1}}
    async with client.get(body["statusUrl"], params={"details": "true"}) as status:
        found = await status.json()
    assert [echo(one) for one in found["documents"]] == [echo(body["documents"][0]), {}]


async def test_an_upload_has_the_labels_of_its_reservation(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client, **MEMBERS)
    await put(client, asked["path"])
    assert (await complete(client, asked["id"]))[0] == 200
    event = world.publisher.submitted
    assert (*labels(event), event.priority) == (REFERENCE, METADATA, 8)


async def test_a_cancellation_has_the_labels_of_its_document(world: World) -> None:
    client = await world.serve(removal_timeout=0)
    body = await answer_of(client, SUBMIT, data=form_data(PDF, "paper.pdf", **TEXTS))
    async with client.delete(f"/api/documents/{body['id']}") as answer:
        assert answer.status == 202
    cancelled = world.publisher.published[-1]
    assert isinstance(cancelled, DocumentCancelled)
    assert labels(cancelled) == (REFERENCE, METADATA)


WRONG = [
    ("reference", "two\nlines", "invalid_reference"),
    ("reference", "a" * 256, "invalid_reference"),
    ("metadata", "17", "invalid_metadata"),
    ("metadata", '{"a":', "invalid_metadata"),
    ("metadata", json.dumps({"a": "b" * 4096}), "invalid_metadata"),
    ("priority", "11", "invalid_priority"),
    ("priority", "high", "invalid_priority"),
]


@pytest.mark.parametrize(("name", "text", "code"), WRONG)
@pytest.mark.parametrize("path", [SUBMIT, CONVERT, BATCH])
async def test_wrong_labels_are_refused_by_name(
    world: World, path: str, name: str, text: str, code: str
) -> None:
    client = await world.serve()
    data: FormData = (
        many(PDF, **{name: text}) if path == BATCH else form_data(PDF, "paper.pdf", **{name: text})
    )
    async with client.post(path, data=data) as answer:
        found = await answer.json()
    assert (answer.status, found["code"]) == (400, code)
    assert name in found["error"]
    assert world.publisher.published == []
    assert world.stored_files() == set()


@pytest.mark.parametrize("metadata", [{"a": float("inf")}, {"a": "b" * 4096}, [1], "17"])
async def test_wrong_labels_of_one_document_of_a_batch_are_refused(
    world: World, metadata: object
) -> None:
    client = await world.serve()
    text = json.dumps(
        {"documents": [{"url": "https://example.com/a", "metadata": metadata}]}
    ).replace("Infinity", "1e999")
    headers = {"Content-Type": "application/json"}
    async with client.post(BATCH, data=text, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_metadata")


def test_labels_are_hashed_into_a_fingerprint_only_where_they_are_given() -> None:
    def of(**given: Any) -> str:
        return fingerprint("convert", [], {}, ConversionOptions(), Labels(**given))

    assert of() == fingerprint("convert", [], {}, ConversionOptions())
    assert len({of(), of(reference="a"), of(reference="b"), of(metadata={})}) == 4
    assert of(metadata={"a": 1, "b": 2}) == of(metadata={"b": 2, "a": 1})


async def test_other_labels_under_one_key_are_another_request(world: World) -> None:
    client = await world.serve()
    headers = {"Idempotency-Key": "one"}
    await answer_of(client, SUBMIT, data=form_data(PDF, "paper.pdf", **TEXTS), headers=headers)
    event = world.publisher.submitted
    assert isinstance(event, DocumentSubmitted)
    world.reads.add(lookup.pending_record(event))
    again = await answer_of(
        client, SUBMIT, data=form_data(PDF, "paper.pdf", **TEXTS), headers=headers
    )
    assert echo(again) == ECHO
    other = form_data(PDF, "paper.pdf", **(TEXTS | {"reference": "another"}))
    async with client.post(SUBMIT, data=other, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "idempotency_key_reused")
