"""What requests ask for: options on every operation that submits, and names that are unknown."""

from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, FormData

from ilios.edge.accept import fingerprint
from ilios.edge.app import DECLARED
from ilios.edge.operation import Operation
from ilios.edge.reservations import Reservation
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentFailed, DocumentSubmitted
from schemas.options import ConversionOptions
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import CREATED_AT, ID, PDF, World

URL = "https://example.com/papers/a%20b.pdf"
SUBMIT, CONVERT, BATCH = "/api/documents/submit", "/v1/convert", "/v1/batch/submit"
RESERVE = "/api/documents/upload-url"


def batch_form(**fields: str) -> FormData:
    form = FormData(fields)
    form.add_field("files", PDF, filename="a.pdf", content_type="application/pdf")
    return form


async def sent(client: ClientSession, door: str, fields: dict[str, Any]) -> tuple[int, Any]:
    """Send a submission by one of the doors and return its answer."""
    request: dict[str, Any]
    match door:
        case "form":
            path, request = SUBMIT, {"data": form_data(PDF, "a.pdf", **fields)}
        case "query":
            headers = {"Content-Type": "application/pdf"}
            path, request = SUBMIT, {"data": PDF, "params": fields, "headers": headers}
        case "convert":
            path, request = CONVERT, {"data": form_data(PDF, "a.pdf", **fields)}
        case "batch":
            path, request = BATCH, {"data": batch_form(**fields)}
        case "url":
            path, request = SUBMIT, {"json": {"url": URL} | fields}
        case "batch of urls":
            path, request = BATCH, {"json": {"documents": [URL]} | fields}
        case _:
            path = RESERVE
            request = {"json": {"fileName": "a.pdf", "fileSize": len(PDF)} | fields}
    async with client.post(path, **request) as answer:
        status, body = answer.status, await answer.json()
    if door == "upload" and status == 200:
        async with client.put(body["uploadUrl"], data=PDF) as answer:
            assert answer.status == 200
        async with client.post(f"/api/documents/upload-complete/{body['id']}") as answer:
            assert answer.status == 200
    return status, body


DOORS = ("form", "query", "convert", "batch", "url", "batch of urls", "upload")


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_takes_pages_and_puts_them_into_the_event(world: World, door: str) -> None:
    client = await world.serve(convert_timeout=0.01)
    assert (await sent(client, door, {"pages": "7,1-3,2-4,10-"}))[0] in (200, 202)
    (event,) = world.publisher.published
    assert isinstance(event, DocumentSubmitted | BatchSubmitted)
    assert event.options == ConversionOptions(pages="1-4,7,10-")


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_takes_how_a_document_is_recognised(world: World, door: str) -> None:
    client = await world.serve(convert_timeout=0.01)
    wanted = {"language": "RU, zh-hans", "recognition": "force"}
    assert (await sent(client, door, wanted))[0] in (200, 202)
    (event,) = world.publisher.published
    assert isinstance(event, DocumentSubmitted | BatchSubmitted)
    assert event.options == ConversionOptions(language="ru,zh-Hans", recognition="force")
    for bad in ({"language": "ru,xx"}, {"recognition": "maybe"}, wanted | {"engine": "mistral"}):
        status, body = await sent(client, door, bad)
        assert (status, body["code"]) in ((400, "invalid_language"), (400, "invalid_recognition"))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("pages", "code"), [("3-1", "invalid_pages"), ("0", "invalid_pages")])
async def test_pages_that_are_none_are_refused_at_once(
    world: World, door: str, pages: str, code: str
) -> None:
    client = await world.serve()
    status, body = await sent(client, door, {"pages": pages})
    assert (status, body["code"]) == (400, code)
    assert "1-3,7,10-" in body["error"]
    assert world.publisher.published == []
    assert world.stored_files() == set()


@pytest.mark.parametrize("door", DOORS)
async def test_a_field_that_is_unknown_is_refused_with_the_nearest_name(
    world: World, door: str
) -> None:
    client = await world.serve()
    status, body = await sent(client, door, {"page": "1-3"})
    assert (status, body["code"]) == (400, "unknown_field")
    assert body["details"] == {"name": "page", "nearest": "pages"}
    assert '"page"' in body["error"]
    assert 'did you mean "pages"?' in body["error"]
    assert world.stored_files() == set()


async def test_a_name_like_no_other_is_refused_without_a_guess(world: World) -> None:
    client = await world.serve()
    status, body = await sent(client, "form", {"temperature": "0"})
    assert (status, body["details"]) == (400, {"name": "temperature"})
    assert "mean" not in body["error"]


@pytest.mark.parametrize("name", ["_", "utm_source", "user", "purpose", "MAX_FILE_SIZE"])
@pytest.mark.parametrize("door", ["form", "query", "batch", "upload"])
async def test_harmless_fields_of_other_clients_are_let_through(
    world: World, door: str, name: str
) -> None:
    client = await world.serve()
    assert (await sent(client, door, {name: "1"}))[0] in (200, 202)


@pytest.mark.parametrize(
    "operation", [one for one in DECLARED if not one.any_query], ids=lambda one: one.name
)
async def test_every_operation_refuses_unknown_parameters(
    world: World, operation: Operation
) -> None:
    client = await world.serve()
    path = operation.path.replace("{id}", ID).replace("{name}", "a.png")
    query = {"colour": "red"}
    async with client.request(operation.method, path, params=query) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "unknown_field")


async def test_health_checks_take_whatever_a_probe_adds(world: World) -> None:
    client = await world.serve()
    for path in ("/health", "/livez", "/readyz"):
        async with client.get(path, params={"probe": "7"}) as answer:
            assert answer.status == 200


async def test_a_name_for_the_document_beside_a_form_is_refused(world: World) -> None:
    client = await world.serve()
    query = {"fileName": "b.pdf"}
    async with client.post(SUBMIT, data=form_data(PDF, "a.pdf"), params=query) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "unknown_field")


async def test_pages_outside_the_document_are_a_422_of_convert(world: World) -> None:
    client = await world.serve()

    async def fail(submitted: DocumentSubmitted) -> None:
        world.outcomes.end(
            DocumentFailed(
                document_id=submitted.document_id,
                tenant=submitted.tenant,
                code="pages_out_of_range",
                reason="The document has 3 pages.",
            )
        )

    world.publisher.on_submission = fail
    status, body = await sent(client, "convert", {"pages": "7-"})
    assert (status, body["code"]) == (422, "pages_out_of_range")


def test_options_are_hashed_by_their_canonical_value_and_only_when_they_are_given() -> None:
    def of(fields: dict[str, str], **options: Any) -> str:
        return fingerprint("convert", [], fields, ConversionOptions(**options))

    assert of({}) == of({}, pages=None) == of({"pages": ""})
    assert of({}, pages="1,2") == of({}, pages="1-2") != of({})
    assert of({}, engine="local") == of({})  # by the text of the field, as ever
    assert of({"engine": "local"}) != of({})


def test_a_reservation_of_the_version_before_has_its_options() -> None:
    old = {
        "tenant": "default",
        "file_name": "a.pdf",
        "size": 1,
        "content_type": "application/pdf",
        "retention_days": 1,
        "created_at": CREATED_AT,
        "expires_at": CREATED_AT,
        "engine": "mistral",
    }
    read = msgspec.json.decode(msgspec.json.encode(old), type=Reservation)
    assert read.conversion == ConversionOptions(engine="mistral")
    new = msgspec.json.encode(old | {"options": {"colour": "red"}})
    assert msgspec.json.decode(new, type=Reservation).conversion.unsupported == ("colour",)


async def test_a_field_with_two_values_is_refused(world: World) -> None:
    client = await world.serve()
    form = form_data(PDF, "a.pdf", pages="1")
    form.add_field("pages", "2")
    async with client.post(SUBMIT, data=form) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "malformed_request")
    async with client.post(f"{SUBMIT}?pages=3", data=form_data(PDF, "a.pdf", pages="1")) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "malformed_request")
    async with client.post(f"{SUBMIT}?pages=1&pages=2", data=form_data(PDF, "a.pdf")) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_pages")
    assert world.publisher.published == []
    assert world.stored_files() == set()
