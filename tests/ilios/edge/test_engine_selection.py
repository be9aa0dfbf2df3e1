"""A submission may name its engine and model; what is not available is refused, never replaced."""

import msgspec
import pytest
from aiohttp import ClientSession

from ilios.edge.reservations import Reservation
from schemas.batches import BatchSubmitted, document_submissions
from schemas.documents import DocumentSubmitted
from schemas.options import ConversionOptions, EngineName
from tests.ilios.edge.test_batches import many
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import PDF, World

SUBMIT = "/api/documents/submit"
CONVERT = "/v1/convert"
BATCH = "/v1/batch/submit"
UPLOAD_URL = "/api/documents/upload-url"
MODEL = "mistral-ocr-2512"

Chosen = tuple[EngineName | None, str | None]

CHOICES: list[tuple[dict[str, str], Chosen]] = [
    ({}, (None, None)),
    ({"engine": "", "model": ""}, (None, None)),
    ({"engine": "local"}, ("local", None)),
    ({"model": "local"}, ("local", None)),
    ({"engine": "local", "model": "local"}, ("local", None)),
    ({"engine": "mistral"}, ("mistral", None)),
    ({"model": MODEL}, ("mistral", MODEL)),
    ({"engine": "mistral", "model": MODEL}, ("mistral", MODEL)),
]
REFUSED: list[tuple[dict[str, str], str]] = [
    ({"engine": "Mistral"}, "invalid_engine"),
    ({"engine": "tesseract", "model": "local"}, "invalid_engine"),
    ({"model": "-"}, "invalid_model"),
    ({"model": "Mistral"}, "invalid_model"),
    ({"model": f"{MODEL}\n"}, "invalid_model"),
    ({"model": "a" * 65}, "invalid_model"),
    ({"engine": "local", "model": MODEL}, "invalid_model"),
    ({"engine": "mistral", "model": "local"}, "invalid_model"),
]
REMOTE: list[dict[str, str]] = [{"engine": "mistral"}, {"model": MODEL}]


@pytest.fixture
async def client(world: World) -> ClientSession:
    world.engines = ("local", "mistral")
    return await world.serve(convert_timeout=0.01)


def published_submission(world: World) -> DocumentSubmitted:
    """Return the last document that was submitted, of a batch the first."""
    event = world.publisher.published[-1]
    if isinstance(event, BatchSubmitted):
        return next(document_submissions(event))
    assert isinstance(event, DocumentSubmitted)
    return event


@pytest.mark.parametrize(("fields", "chosen"), CHOICES)
@pytest.mark.parametrize("path", [SUBMIT, CONVERT, BATCH])
async def test_the_event_has_the_engine_and_model_of_the_client(
    world: World, client: ClientSession, path: str, fields: dict[str, str], chosen: Chosen
) -> None:
    data = many(PDF, **fields) if path == BATCH else form_data(PDF, "paper.pdf", **fields)
    async with client.post(path, data=data) as answer:
        assert answer.status == 202
    event = published_submission(world)
    assert (event.options.engine, event.options.model, event.held) == (*chosen, False)


async def test_for_a_raw_body_the_query_chooses_the_engine(
    world: World, client: ClientSession
) -> None:
    query = {"engine": "mistral", "model": MODEL}
    headers = {"Content-Type": "application/pdf"}
    async with client.post(SUBMIT, data=PDF, params=query, headers=headers) as answer:
        assert answer.status == 202
    wanted = ConversionOptions(engine="mistral", model=MODEL)
    assert published_submission(world).options == wanted


@pytest.mark.parametrize(("fields", "code"), REFUSED)
@pytest.mark.parametrize("path", [SUBMIT, CONVERT, BATCH])
async def test_an_invalid_engine_choice_is_refused_and_nothing_stored(
    world: World, client: ClientSession, path: str, fields: dict[str, str], code: str
) -> None:
    data = many(PDF, **fields) if path == BATCH else form_data(PDF, "paper.pdf", **fields)
    async with client.post(path, data=data) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, code)
    assert world.stored_files() == set()
    assert world.publisher.published == []


@pytest.mark.parametrize("fields", REMOTE)
@pytest.mark.parametrize("path", [SUBMIT, CONVERT, BATCH])
async def test_what_is_not_set_up_is_refused_with_what_to_set(
    world: World, path: str, fields: dict[str, str]
) -> None:
    client = await world.serve()
    data = many(PDF, **fields) if path == BATCH else form_data(PDF, "paper.pdf", **fields)
    async with client.post(path, data=data) as answer:
        body = await answer.json()
        assert (answer.status, body["code"]) == (422, "engine_unavailable")
    assert "MISTRAL_API_KEY" in body["error"]
    assert world.stored_files() == set()


@pytest.mark.parametrize(
    ("fields", "model"), [({}, None), ({"engine": "mistral"}, None), ({"model": MODEL}, MODEL)]
)
async def test_a_batch_of_mistrals_own_holds_its_documents(
    world: World, client: ClientSession, fields: dict[str, str], model: str | None
) -> None:
    data = many(PDF, b"%PDF two", useMistralBatch="true", **fields)
    async with client.post(BATCH, data=data) as answer:
        assert answer.status == 202
        batch_id = (await answer.json())["batchId"]
    (event,) = world.publisher.published
    assert isinstance(event, BatchSubmitted)
    assert event.options == ConversionOptions(engine="mistral", model=model)
    assert event.engine_batch
    assert all(document.held for document in document_submissions(event))
    async with client.get(f"/v1/batch/status/{batch_id}") as answer:
        assert answer.status == 200
        assert "mistralStatus" not in await answer.json(), "Mistral does not have it yet"


@pytest.mark.parametrize("fields", [{"engine": "local"}, {"model": "local"}])
async def test_a_batch_of_mistrals_own_is_not_for_the_local_engine(
    world: World, client: ClientSession, fields: dict[str, str]
) -> None:
    data = many(PDF, useMistralBatch="true", **fields)
    async with client.post(BATCH, data=data) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_engine")
    assert world.stored_files() == set()


@pytest.mark.parametrize(
    ("members", "chosen"),
    [
        ({}, (None, None)),
        ({"engine": None, "model": None}, (None, None)),
        ({"engine": "mistral"}, ("mistral", None)),
        ({"model": MODEL}, ("mistral", MODEL)),
        ({"model": "local"}, ("local", None)),
    ],
)
async def test_what_was_asked_for_with_an_upload_url_holds_when_it_is_complete(
    world: World, client: ClientSession, members: dict[str, str], chosen: Chosen
) -> None:
    wanted = {"fileName": "a.pdf", "fileSize": len(PDF)} | members
    async with client.post(UPLOAD_URL, json=wanted) as answer:
        given = await answer.json()
        assert answer.status == 200
    async with client.put(given["uploadUrl"], data=PDF) as answer:
        assert answer.status == 200
    async with client.post(f"/api/documents/upload-complete/{given['id']}") as answer:
        assert answer.status == 200
    engine, model = chosen
    assert published_submission(world).options == ConversionOptions(engine=engine, model=model)


async def test_a_reservation_of_an_earlier_version_is_still_read() -> None:
    earlier = (
        b'{"tenant":"default","file_name":"a.pdf","size":3,"content_type":"application/pdf",'
        b'"retention_days":365,"created_at":"2026-01-15T10:30:00Z",'
        b'"expires_at":"2026-01-15T11:30:00Z","withdrawn_at":null}'
    )
    found = msgspec.json.decode(earlier, type=Reservation)
    assert (found.engine, found.model) == (None, None)


@pytest.mark.parametrize(
    ("path", "fields"),
    [(SUBMIT, {"engine": "mistral"}), (SUBMIT, {"model": MODEL}), (BATCH, {"model": MODEL})],
)
async def test_another_engine_is_another_request_under_the_same_key(
    client: ClientSession, path: str, fields: dict[str, str]
) -> None:
    key = {"Idempotency-Key": "once"}
    for said_now, status in (({}, 202), (fields, 422), ({}, 202)):
        data = many(PDF, **said_now) if path == BATCH else form_data(PDF, "paper.pdf", **said_now)
        async with client.post(path, data=data, headers=key) as answer:
            assert answer.status == status


async def test_a_batch_of_mistrals_own_is_another_request_under_the_same_key(
    client: ClientSession,
) -> None:
    key = {"Idempotency-Key": "once"}
    for said_now, status in (({}, 202), ({"useMistralBatch": "true"}, 422)):
        async with client.post(BATCH, data=many(PDF, **said_now), headers=key) as answer:
            assert answer.status == status
