"""Requests on the bus as the edge answers them, beside the same ones by HTTP."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs

from actors.ports import StorageFull
from bus import tracing
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from bus.micro import MAX_REPLY_BYTES, Request, ServiceReply
from ilios.api_keys import tenant_of
from ilios.edge.bus_service.admission import Admission
from ilios.edge.bus_service.described import STATUS_HEADER
from ilios.edge.bus_service.operations import OPERATIONS
from ilios.edge.bus_service.service import BusDoor, endpoint
from ilios.nats.users import REQUEST_SUBJECTS
from ilios.runtime.disk_space import Volume
from schemas.documents import DocumentSubmitted, Stored
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID, PDF, World
from tests.waiting import wait_until

INLINE = {"kind": "inline", "data": base64.b64encode(PDF).decode()}
SUBMISSION: dict[str, Any] = {"source": INLINE, "file_name": "a.pdf"}


def request(operation: str, members: Any, tenant: str = "default", **headers: str) -> Request:
    body = members if isinstance(members, bytes) else msgspec.json.encode(members)
    subject = f"ilios.api.{operation}.{tenant}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(operation.replace(".", "-"), subject, body, named)


def status(reply: ServiceReply) -> int:
    return int(reply.headers[STATUS_HEADER])


def code(reply: ServiceReply) -> str:
    return str(msgspec.json.decode(reply.body)["code"])


def test_the_subjects_of_the_operations_are_those_that_tenants_import() -> None:
    assert {f"ilios.api.{one.name}" for one in OPERATIONS} == set(REQUEST_SUBJECTS)


def test_an_endpoint_shows_the_schemas_of_what_it_takes_and_answers() -> None:
    for one in OPERATIONS:
        shown = endpoint(one)
        assert shown.subject == f"ilios.api.{one.name}.*"
        assert msgspec.json.decode(shown.metadata["request_schema"])["$ref"]
        assert "anyOf" in msgspec.json.decode(shown.metadata["response_schema"])
        assert "\\Z" not in shown.metadata["request_schema"], "patterns are those of JavaScript"


async def test_a_submission_is_stored_and_published_as_that_of_http(world: World) -> None:
    client = await world.serve()
    async with client.post("/v1/documents", data=form_data(PDF, "a.pdf")) as answer:
        assert answer.status == 202
    reply = await BusDoor(world.edge()).handle(request("submit", SUBMISSION))
    assert status(reply) == 202
    by_http, by_bus = world.publisher.published
    assert isinstance(by_http, DocumentSubmitted)
    assert isinstance(by_bus, DocumentSubmitted)
    assert isinstance(by_bus.source, Stored)
    aside = {"document_id": ID, "submitted_at": None, "content_type": ""}
    assert structs.replace(
        by_bus, source=structs.replace(by_bus.source, suffix=None), **aside
    ) == structs.replace(by_http, source=structs.replace(by_http.source, suffix=None), **aside)


FAULTS: dict[str, tuple[Callable[[World], None], int, str]] = {
    "a blocking fault": (
        lambda world: world.faults.report("test", "it is gone", blocking=True),
        503,
        "not_ready",
    ),
    "a bus that is away": (
        lambda world: setattr(world.publisher, "error", BusUnavailable("away")),
        503,
        "bus_unavailable",
    ),
    "a log that is full": (
        lambda world: setattr(world.publisher, "error", BusFull("full")),
        507,
        "storage_full",
    ),
    "an event that is too large": (
        lambda world: setattr(world.publisher, "error", EventTooLarge("large")),
        413,
        "event_too_large",
    ),
    "a volume that is full": (
        lambda world: setattr(world, "volume", Volume(device=1, free=0, files=None)),
        507,
        "storage_full",
    ),
    "an error of the service": (
        lambda world: setattr(world.publisher, "error", RuntimeError("secret")),
        500,
        "internal_error",
    ),
    "files that go meanwhile": (
        lambda world: setattr(
            world,
            "check_faults",
            lambda: world.faults.report("storage", "it is gone", blocking=True),
        ),
        503,
        "not_ready",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_answered_alike_by_both_doors(world: World, name: str) -> None:
    break_it, expected, expected_code = FAULTS[name]
    break_it(world)
    client = await world.serve()
    async with client.post("/v1/documents", data=form_data(PDF, "a.pdf")) as answer:
        by_http = await answer.json()
        retry_after = answer.headers.get("Retry-After")
    if name == "files that go meanwhile":
        world.faults.resolve("storage")
    reply = await BusDoor(world.edge()).handle(request("submit", SUBMISSION))
    by_bus = msgspec.json.decode(reply.body)
    for one in (by_http, by_bus):
        del one["requestId"], one["instance"]
    assert by_bus == by_http
    assert (status(reply), code(reply)) == (expected, expected_code)
    assert reply.headers.get("Retry-After") == retry_after
    assert reply.error is not None
    assert b"secret" not in reply.body
    if name != "files that go meanwhile":
        assert world.stored_files() == set(), "nothing of a refused document is left"


async def test_a_body_cannot_name_another_tenant_than_the_subject(world: World) -> None:
    keys = ("first-key", "second-key")
    ours, theirs = map(tenant_of, keys)
    door = BusDoor(world.edge(*keys))
    reply = await door.handle(request("submit", SUBMISSION | {"tenant": theirs}, ours))
    assert (status(reply), code(reply)) == (400, "invalid_tenant")
    assert status(await door.handle(request("submit", SUBMISSION | {"tenant": ours}, ours))) == 202
    assert world.publisher.submitted.tenant == ours
    reply = await door.handle(request("submit", SUBMISSION, "nobody"))
    assert (status(reply), code(reply)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ({"kind": "inline", "data": "!!"}, "invalid_source"),
        ({"kind": "inline", "data": ""}, "empty_file"),
        ({"kind": "inline", "data": "YQ==", "digest": "a"}, "unknown_field"),
        ({"kind": "object", "name": "a.pdf", "bucket": "b"}, "unknown_field"),
        ({"kind": "url", "url": "https://example.com/a.pdf", "name": "b"}, "unknown_field"),
    ],
)
async def test_a_source_that_is_none_is_refused_with_its_reason(
    world: World, source: dict[str, str], refused: str
) -> None:
    reply = await BusDoor(world.edge()).handle(request("submit", {"source": source}))
    assert (status(reply), code(reply)) == (400, refused)


async def test_an_id_of_the_client_is_taken_once(world: World) -> None:
    door = BusDoor(world.edge())
    chosen = SUBMISSION | {"document_id": ID}
    first = await door.handle(request("submit", chosen))
    again = await door.handle(request("submit", chosen))
    assert status(first) == 202
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await door.handle(request("submit", chosen | {"retention_days": 3}))
    assert (status(other), code(other)) == (409, "id_taken")
    both = await door.handle(request("submit", chosen, Idempotency_Key="key"))
    assert (status(both), code(both)) == (400, "invalid_document_id")


async def test_ids_of_a_batch_begin_with_that_of_the_batch(world: World) -> None:
    door = BusDoor(world.edge())
    item = {"source": INLINE, "document_id": f"{ID}001"}
    for ids, expected in (
        ([f"{ID}001", f"{ID}002"], 202),
        ([f"{ID}001", f"{ID}001"], 400),
        ([f"{ID}001", None], 400),
        ([f"{ID}001", ID], 400),
        ([f"{ID}001", f"x{ID}"], 400),
    ):
        items = [item | {"document_id": one} for one in ids]
        asked = {"batch_id": ID, "documents": items}
        assert status(await door.handle(request("batch.submit", asked))) == expected, ids


async def test_a_password_is_sealed_and_in_no_event(world: World) -> None:
    door = BusDoor(world.edge())
    reply = await door.handle(request("submit", SUBMISSION | {"password": "open sesame"}))
    assert status(reply) == 202
    assert b"sesame" not in msgspec.json.encode(world.publisher.submitted)
    files = world.stored_files()
    assert len(files) == 2
    assert all(b"sesame" not in path.read_bytes() for path in files)


async def test_a_result_that_is_too_large_is_read_in_parts(world: World) -> None:
    markdown = b"A line of text.\n" * (MAX_REPLY_BYTES // 8)
    await world.add_completed(markdown)
    door, read, offsets = BusDoor(world.edge()), b"", [0]
    whole = await door.handle(request("result", {"document_id": ID}))
    assert (status(whole), code(whole)) == (413, "result_too_large")
    problem = msgspec.json.decode(whole.body)
    assert problem["details"]["size"] == len(markdown)
    assert problem["details"]["url"] == f"/v1/documents/{ID}/content"
    while len(read) < len(markdown):
        part = await door.handle(request("result", {"document_id": ID, "offset": offsets[-1]}))
        assert status(part) == 206
        assert len(part.body) <= MAX_REPLY_BYTES
        read += part.body
        offsets.append(len(read))
        assert part.headers["Content-Range"].endswith(f"-{len(read) - 1}/{len(markdown)}")
    assert read == markdown
    for name in ("json", "html"):
        wanted = {"document_id": ID, "format": name}
        assert code(await door.handle(request("result", wanted))) == "result_too_large"
        asked = wanted | {"offset": 0}
        assert code(await door.handle(request("result", asked))) == "invalid_offset"


async def test_clients_that_wait_for_a_conversion_take_no_place_and_are_answered_at_the_end(
    world: World,
) -> None:
    door = BusDoor(world.edge(), Admission(1, max_working=1))
    waiting = [asyncio.create_task(door.handle(request("convert", SUBMISSION))) for _ in range(5)]
    await wait_until(lambda: len(world.publisher.published) == 5)
    assert status(await door.handle(request("submit", SUBMISSION))) == 202
    door.close()
    for reply in await asyncio.gather(*waiting):
        assert status(reply) == 202
        assert reply.headers["Location"].startswith("/api/documents/status/")


async def test_a_flood_of_one_tenant_delays_no_other(world: World) -> None:
    keys = ("first-key", "second-key")
    flooding, other = map(tenant_of, keys)
    released = asyncio.Event()

    async def hold(_: DocumentSubmitted) -> None:
        await released.wait()

    world.publisher.on_submission = hold
    door = BusDoor(world.edge(*keys), Admission(2, max_requests=100, max_working=4))
    flood = [
        asyncio.create_task(door.handle(request("submit", SUBMISSION, flooding)))
        for _ in range(200)
    ]
    await asyncio.sleep(0)
    answered = await door.handle(request("status", {"document_id": ID}, other))
    assert status(answered) == 404, "it has a place"
    refused = [one.result() for one in flood if one.done()]
    assert {code(one) for one in refused} == {"overloaded"}
    assert len(refused) >= 100
    released.set()
    assert {status(one) for one in await asyncio.gather(*flood)} == {202, 503}


async def test_a_request_that_is_broken_off_is_answered(world: World) -> None:
    task = asyncio.create_task(BusDoor(world.edge()).handle(request("convert", SUBMISSION)))
    await wait_until(lambda: bool(world.publisher.published))
    task.cancel()
    reply = await task
    assert (status(reply), code(reply)) == (503, "not_ready")


TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    ("header", "passed_on"),
    [
        (TRACE, True),
        (f"ff{TRACE[2:]}", False),
        (TRACE.replace("a", "0"), False),
        (f"{TRACE}\r\nNats-Msg-Id: forged", False),
        (TRACE.upper(), False),
    ],
)
async def test_only_a_well_formed_trace_goes_on_to_the_event(
    world: World, header: str, *, passed_on: bool
) -> None:
    found: list[dict[str, str]] = []

    async def look(_: DocumentSubmitted) -> None:
        found.append(tracing.headers())

    world.publisher.on_submission = look
    forged = {"Nats_Expected_Last_Sequence": "7", "Nats_Msg_Id": "forged", "traceparent": header}
    await BusDoor(world.edge()).handle(request("submit", SUBMISSION, **forged))
    assert found == [{"traceparent": header} if passed_on else {}]


async def test_a_volume_without_room_refuses_the_bytes_before_they_are_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise StorageFull("no room")

    monkeypatch.setattr(type(world.blobs), "put", full)
    reply = await BusDoor(world.edge()).handle(request("submit", SUBMISSION))
    assert (status(reply), code(reply)) == (507, "storage_full")
    assert world.publisher.published == []
