"""What is described is what is served: routes, codes, answers, keys."""

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from aiohttp import ClientResponse, ClientSession, FormData
from aiohttp.test_utils import make_mocked_request
from msgspec import Struct
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from ilios.edge import accept, auth, pages, publishing
from ilios.edge.app import DECLARED as OPERATIONS
from ilios.edge.app import make_app
from ilios.edge.errors import CODES, OTHER_CODES, HttpProblem
from ilios.edge.events.streams import EVENT_STREAM
from ilios.edge.openapi import EXTRA_SCHEMAS, PROBLEM, describe
from ilios.edge.operation import ID_SCHEMA, IDEMPOTENCY_KEY, JSON, MARKDOWN, OCTET_STREAM, Operation
from schemas.event_replies import BatchEventData, DocumentEventData, EventName, ResetData
from schemas.ids import is_id
from schemas.replies import Problem
from schemas.service_replies import HealthReport
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID as DOCUMENT
from tests.ilios.edge.world import World, record


def narrowed(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description with each problem held to its status and to the codes listed for it.

    What is served has one type for all problems, and text for a stream of events, for the sake of
    generated clients. Here that text is each of its events.
    """
    description = msgspec.json.decode(msgspec.json.encode(description))
    for operation in OPERATIONS:
        answers = description["paths"][operation.path][operation.method.lower()]["responses"]
        for status, codes in operation.problems.items():
            members: dict[str, Any] = {"status": {"const": status}}
            if OTHER_CODES not in codes:
                members["code"] = {"enum": list(codes)}
            answers[str(status)]["content"][PROBLEM]["schema"] |= {"properties": members}
            if JSON in answers[str(status)]["content"] and status in operation.responses:
                content = operation.responses[status].content
                answers[str(status)]["content"][JSON]["schema"] = _reference(content[JSON])
        for answer in answers.values():
            if EVENT_STREAM in answer.get("content", {}):
                answer["content"][EVENT_STREAM]["schema"] = SERVER_SENT_EVENT
    return description


def _reference(kind: type[Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


SERVER_SENT_EVENT = {
    "type": "object",
    "required": ["event", "data", "id"],
    "properties": {
        "event": {"enum": [*get_args(EventName), "reset"]},
        "data": {
            "type": "string",
            "contentMediaType": JSON,
            "contentSchema": {
                "anyOf": [_reference(one) for one in (DocumentEventData, BatchEventData, ResetData)]
            },
        },
    },
}
EDGE = Path(auth.__file__).parent
DESCRIBED = describe(OPERATIONS)
STRICT = narrowed(DESCRIBED)
IMAGE = f"{'0' * 32}.jpeg"
REFUSING = {"*"}
"""Routes of every method that is not served there: they answer 405."""
NOT_OPERATIONS = {("GET", pages.FILES_PATH)}
"""Routes nobody calls but our own pages."""
ANYWHERE = {(404, "route_not_found"), (405, "method_not_allowed"), (408, "request_too_slow")}
"""Refusals of requests that are no operation's; the description's introduction names them."""


def by_name(operation: Operation) -> str:
    return operation.name


def test_the_description_is_valid_openapi() -> None:
    assert DESCRIBED["openapi"].startswith("3.1")
    validate(DESCRIBED)


def test_every_route_is_an_operation_and_every_operation_a_route(world: World) -> None:
    routes = {
        (route.method, route.resource.canonical)
        for route in make_app(world.edge()).router.routes()
        if route.resource is not None and route.method not in {"HEAD", *REFUSING}
    }
    assert routes - NOT_OPERATIONS == {operation.route for operation in OPERATIONS}


def test_no_two_operations_share_a_route_or_a_name() -> None:
    assert len({operation.route for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


def test_every_struct_of_the_table_is_described() -> None:
    contents = [answer.content for one in OPERATIONS for answer in one.responses.values()]
    contents += [one.body.content for one in OPERATIONS if one.body is not None]
    named = {kind for content in contents for kind in content.values() if isinstance(kind, type)}
    assert {kind.__name__ for kind in named | {*EXTRA_SCHEMAS}} <= DESCRIBED["components"][
        "schemas"
    ].keys()
    for kind in named:
        assert issubclass(kind, Struct)
        members = DESCRIBED["components"]["schemas"][kind.__name__]["properties"]
        assert members.keys() == {*kind.__struct_encode_fields__}


def _parts(described: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a description, however deep."""
    if isinstance(described, dict):
        yield described
    for part in described.values() if isinstance(described, dict) else described:
        if isinstance(part, dict | list | tuple):
            yield from _parts(part)


def test_one_value_is_described_by_an_enum_for_generators_drop_const() -> None:
    assert [part for part in _parts(DESCRIBED) if "const" in part] == []


def test_times_have_their_format() -> None:
    times = [
        (name, member)
        for part in _parts(DESCRIBED["components"]["schemas"])
        for name, member in part.get("properties", {}).items()
        if name.endswith(("At", "Date")) or name == "timestamp"
    ]
    assert len(times) > 15
    for name, member in times:
        kinds = [kind for kind in member.get("anyOf", [member]) if kind != {"type": "null"}]
        assert [kind.get("format") for kind in kinds] == ["date-time"], name


def test_no_field_of_a_form_is_a_parameter_as_well() -> None:
    for operation in OPERATIONS:
        forms = operation.body.content.values() if operation.body is not None else ()
        fields = {
            name for form in forms if isinstance(form, dict) for name in form.get("properties", ())
        }
        assert fields & {parameter.name for parameter in operation.parameters} == set()


def test_every_answer_has_one_type_that_generated_clients_can_read() -> None:
    problem = _reference(Problem)
    for operation in OPERATIONS:
        described = DESCRIBED["paths"][operation.path][operation.method.lower()]
        for status, answer in described["responses"].items():
            contents = answer.get("content", {})
            assert contents.get(PROBLEM, {"schema": problem}) == {"schema": problem}
            readable = {JSON, PROBLEM, OCTET_STREAM, MARKDOWN, "text/html", "text/event-stream"}
            assert not contents or readable & contents.keys(), f"{operation.name} {status}"
            if int(status) in operation.responses and JSON in contents and PROBLEM in contents:
                assert problem in contents[JSON]["schema"]["anyOf"]


def refusals() -> Iterator[tuple[int, str]]:
    """Return the status and the code of every refusal that stands in the sources of the edge."""
    for path in EDGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="HttpProblem"),
                    args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_],
                ):
                    yield status, code


def test_every_refusal_of_the_edge_is_described() -> None:
    described = {
        (status, code)
        for operation in OPERATIONS
        for status, codes in operation.problems.items()
        for code in codes
    }
    found = set(refusals())
    assert len(found) > 20
    assert found - ANYWHERE - described == set(), "name them in the problems of an operation"


def test_every_code_is_explained_and_none_is_left_over() -> None:
    used = {code for one in OPERATIONS for codes in one.problems.values() for code in codes} | {
        code for _, code in ANYWHERE
    }
    # Those of members are explained by a sentence made of their names.
    assert CODES.keys() <= used
    assert {code for code in used - CODES.keys() if not code.startswith("invalid_")} == set()


def test_what_is_left_out_when_null_is_never_described_as_null() -> None:
    schemas = DESCRIBED["components"]["schemas"]
    assert schemas["DocumentStatus"]["properties"]["fileSize"] == {"type": "integer"}
    assert {"type": "null"} in schemas["BatchStatus"]["properties"]["completedAt"]["anyOf"]
    assert "`statusUrl`" in schemas["Unfinished"]["description"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
async def test_an_operation_needs_a_key_unless_it_is_described_as_open(
    world: World, operation: Operation
) -> None:
    client = await world.serve("key-1")
    path = operation.path.replace("{id}", DOCUMENT)
    async with client.request(operation.method, path) as answer:
        assert (answer.status == 401) != operation.public
        await assert_described(operation, answer)
    assert (DESCRIBED["paths"][operation.path][operation.method.lower()].get("security") == []) == (
        operation.public
    )


@pytest.mark.parametrize(
    "value",
    ["a", "a b", "~" * 255, '"quoted"', '"with \\" and \\\\"', '""', '"', "", "é", "a" * 256],
)
def test_an_idempotency_key_is_described_as_it_is_taken(value: str) -> None:
    request = make_mocked_request("POST", "/", headers={publishing.HEADER: value})
    try:
        taken = accept.parse_key(request) is not None
    except HttpProblem:
        taken = False
    assert taken == (re.search(IDEMPOTENCY_KEY.schema["pattern"], value) is not None)


@pytest.mark.parametrize("text", ["a" * 19, "a" * 20, "0" * 30, "a" * 31, "A" * 24, "a" * 23 + "-"])
def test_an_id_is_described_as_it_is_taken(text: str) -> None:
    assert is_id(text) == (re.search(ID_SCHEMA["pattern"], text) is not None)


async def assert_described(operation: Operation, answer: ClientResponse) -> Any:
    """Hold an answer against the description: status, media type, headers, body."""
    responses = STRICT["paths"][operation.path][operation.method.lower()]["responses"]
    assert str(answer.status) in responses, await answer.text()
    described = responses[str(answer.status)]
    assert "X-Request-Id" in answer.headers
    sent = {name for name in DESCRIBED["components"]["headers"] if name in answer.headers}
    assert sent <= described["headers"].keys()
    if not (body := await answer.read()):
        return None
    contents = described["content"]
    assert answer.content_type in contents or "*/*" in contents
    schema = contents.get(answer.content_type, contents.get("*/*"))["schema"]
    if not answer.content_type.endswith("json"):
        return body
    referenced = {"components": DESCRIBED["components"]}
    OAS31Validator(schema | referenced).validate(parsed := await answer.json())
    return parsed


def named(name: str) -> Operation:
    return next(operation for operation in OPERATIONS if operation.name == name)


async def asked(client: ClientSession, name: str, status: int, **request: Any) -> Any:
    """Ask for an operation and return the body of an answer that is as described."""
    operation = named(name)
    path = operation.path.replace("{id}", request.pop("id", DOCUMENT))
    path = path.replace("{name}", request.pop("name_of_image", IMAGE))
    async with client.request(operation.method, path, **request) as answer:
        assert answer.status == status, await answer.text()
        return await assert_described(operation, answer)


async def test_a_document_is_answered_as_described_in_every_state(world: World) -> None:
    client = await world.serve()
    for name in ("documentStatus", "readDocument", "readOriginal", "readImage", "deleteDocument"):
        await asked(client, name, 404)
        await asked(client, name, 400, id="wrong")
    world.reads.add(record(state="processing"))
    await asked(client, "documentStatus", 200)
    await asked(client, "readDocument", 202)
    await asked(client, "readOriginal", 202)
    world.reads.add(record(state="failed", code="corrupt", reason="Damaged.", retryable=False))
    await asked(client, "documentStatus", 200)
    await asked(client, "readDocument", 500)
    await asked(client, "readOriginal", 500)
    await world.add_completed(b"# Hello\n")
    await asked(client, "documentStatus", 200)
    await asked(client, "readDocument", 200)
    await asked(client, "readDocument", 200, params={"format": "json"})
    await asked(client, "readDocument", 400, params={"format": "xml"})
    await asked(client, "readOriginal", 200)
    tags = {"readDocument": b"# Hello\n", "readOriginal": b"%PDF-1.7 the document"}
    for name, content in tags.items():
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        await asked(client, name, 304, headers={"If-None-Match": tag})
        await asked(client, name, 412, headers={"If-Match": '"other"'})
        await asked(client, name, 206, headers={"Range": "bytes=0-1"})
        await asked(client, name, 416, headers={"Range": "bytes=999-"})
    await asked(client, "readImage", 404)
    world.reads.add(record(state="deleted", removal="requested"))
    await asked(client, "documentStatus", 200)
    for name in ("readDocument", "readOriginal", "readImage"):
        await asked(client, name, 410)
    await asked(client, "deleteDocument", 200)
    world.reads.error = RuntimeError("database is locked")
    for name in ("documentStatus", "readDocument", "readOriginal", "readImage", "deleteDocument"):
        await asked(client, name, 500)


@pytest.mark.parametrize("name", ["submitDocument", "createDocument", "convert", "submitBatch"])
async def test_a_submission_is_answered_as_described(world: World, name: str) -> None:
    client = await world.serve(convert_timeout=0.01)
    part = "files" if name == "submitBatch" else "file"

    def form(**fields: str) -> FormData:
        data = FormData(fields)
        data.add_field(part, b"%PDF-1.7", filename="a.pdf", content_type="application/pdf")
        return data

    await asked(client, name, 202, data=form())
    key = {publishing.HEADER: "once"}
    await asked(client, name, 202, data=form(), headers=key)
    await asked(client, name, 202, data=form(), headers=key)
    await asked(client, name, 422, data=form(retentionDays="7"), headers=key)
    await asked(client, name, 400, data=form(retentionDays="0"))
    await asked(client, name, 400, data=form(engine="tesseract"))
    await asked(client, name, 400, data=form(model="Mistral OCR"))
    await asked(client, name, 422, data=form(engine="mistral"))
    await asked(client, name, 400)
    await asked(client, name, 400, headers={publishing.HEADER: '"'})
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/pdf"}
    await asked(client, name, 415, data=b"x", headers=packed)
    await asked(client, name, 417, data=form(), headers={"Expect": "more"})


async def test_a_conversion_is_answered_as_described(world: World) -> None:
    client = await world.serve()
    world.publisher.on_submission = world.convert
    await asked(client, "convert", 200, data=form_data())
    await asked(client, "convert", 200, data=form_data(), params={"format": "json"})
    await asked(client, "convert", 400, data=form_data(), params={"format": "xml"})
    world.publisher.on_submission = world.fail
    await asked(client, "convert", 422, data=form_data())


async def test_an_upload_is_answered_as_described(world: World) -> None:
    client = await world.serve()
    await asked(client, "askForUpload", 400, json={})
    await asked(client, "askForUpload", 400, data="{", headers={"Content-Type": "application/json"})
    await asked(client, "askForUpload", 415, data="{}", headers={"Content-Type": "text/plain"})
    wanted = {"fileName": "a.pdf", "fileSize": 5}
    await asked(client, "askForUpload", 400, json=wanted | {"engine": "tesseract"})
    await asked(client, "askForUpload", 422, json=wanted | {"engine": "mistral"})
    given = await asked(client, "askForUpload", 200, json=wanted)
    await asked(client, "confirmUpload", 400, id=given["id"])
    await asked(client, "confirmUpload", 404)
    await asked(client, "upload", 403, data=b"12345")
    for data, status in ((b"1234", 400), (b"12345", 200)):
        async with client.put(given["uploadUrl"], data=data) as answer:
            assert answer.status == status
            await assert_described(named("upload"), answer)
    await asked(client, "confirmUpload", 200, id=given["id"])
    async with client.put(given["uploadUrl"], data=b"12345") as answer:
        assert answer.status == 409
        await assert_described(named("upload"), answer)


async def test_a_batch_is_answered_as_described(world: World) -> None:
    client = await world.serve()
    for name in ("batchStatus", "getBatch", "downloadBatch"):
        await asked(client, name, 404)
        await asked(client, name, 400, id="wrong")
    data = FormData()
    data.add_field("files", b"%PDF-1.7", filename="a.pdf")
    batch = await asked(client, "submitBatch", 202, data=data)
    of_it = {"id": batch["batchId"]}
    await asked(client, "batchStatus", 200, **of_it)
    details = {"params": {"details": "true"}, **of_it}
    state = await asked(client, "batchStatus", 200, **details)
    assert await asked(client, "getBatch", 200, **details) == state
    await asked(client, "batchStatus", 400, params={"details": "maybe"}, **of_it)
    await asked(client, "downloadBatch", 400, **of_it)
    await asked(client, "downloadBatch", 400, params={"format": "rar"}, **of_it)


async def test_the_service_is_answered_for_as_described(world: World) -> None:
    client = await world.serve()
    for operation in OPERATIONS:
        if operation.tag in ("Service", "Usage"):
            await asked(client, operation.name, 200)
    for name in ("usageSummary", "usageBreakdown"):
        await asked(client, name, 400, params={"startDate": "yesterday"})
    world.report = HealthReport(services={"bus": "down"}, healthy=False, problems=["bus is down"])
    await asked(client, "health", 503)
    await asked(client, "ready", 503)
