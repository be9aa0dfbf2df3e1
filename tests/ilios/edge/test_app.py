import pytest
import structlog
from structlog.testing import capture_logs

from bus.errors import BusUnavailable
from ilios import __version__
from ilios.edge.auth import tenant_of
from schemas.ids import is_tenant
from schemas.service_replies import HealthReport
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID, PDF, World, record

STATUS = f"/api/documents/status/{ID}"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer key-1"}, {}),
        ({"Authorization": "bearer  key-1 "}, {}),
        ({"X-Api-Key": "key-1"}, {}),
        ({}, {"apiKey": "key-1"}),
    ],
)
async def test_a_key_opens_its_own_tenant(
    world: World, headers: dict[str, str], query: dict[str, str]
) -> None:
    client = await world.serve("key-1", "key-2")
    async with client.post(
        "/api/documents/submit", data=form_data(), headers=headers, params=query
    ) as answer:
        assert answer.status == 202
    assert world.publisher.submitted.tenant == tenant_of("key-1")
    assert is_tenant(tenant_of("key-1"))


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, "Missing or invalid authorization header"),
        ({"Authorization": "Basic a2V5LTE6"}, "Missing or invalid authorization header"),
        ({"Authorization": "Bearer "}, "Missing or invalid authorization header"),
        ({"Authorization": "key-1"}, "Missing or invalid authorization header"),
        ({"Authorization": "Bearer key-2"}, "Invalid API key"),
        ({"Authorization": "Bearer ключ"}, "Invalid API key"),
        ({"X-Api-Key": "key-1 "[:-2]}, "Invalid API key"),
    ],
)
async def test_without_a_valid_key_every_route_is_401(
    world: World, headers: dict[str, str], error: str
) -> None:
    client = await world.serve("key-1")
    for path in (STATUS, "/api/unknown", "/v1/convert"):
        async with client.get(path, headers=headers) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"] == error
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_some_addresses_are_open(world: World) -> None:
    client = await world.serve("key-1")
    for path in ("/", "/health", "/livez", "/readyz"):
        async with client.get(path) as answer:
            assert answer.status == 200


async def test_another_tenants_document_looks_exactly_like_an_unknown_one(world: World) -> None:
    client = await world.serve("key-1", "key-2")
    world.reads.add(record(tenant=tenant_of("key-1")))
    unknown = STATUS.replace(ID, ID[::-1])
    for path, other in (
        (STATUS, unknown),
        (STATUS.replace("/status", ""), unknown.replace("/status", "")),
        (STATUS.replace("/status", "") + "/original", unknown.replace("/status", "") + "/original"),
    ):
        bodies = []
        for asked in (path, other):
            async with client.get(asked, headers={"X-Api-Key": "key-2"}) as answer:
                assert answer.status == 404
                body = await answer.json()
                bodies.append({k: v for k, v in body.items() if k not in ("instance", "requestId")})
        assert bodies[0] == bodies[1]
    async with client.get(STATUS, headers={"X-Api-Key": "key-1"}) as answer:
        assert answer.status == 200


async def test_a_key_in_the_query_is_never_repeated(world: World) -> None:
    client = await world.serve("the-secret-key")
    with capture_logs() as logs:
        for path in (STATUS, "/nowhere", "/v1/convert"):
            async with client.get(path, params={"apiKey": "the-secret-key"}) as answer:
                text = await answer.text() + str(answer.headers)
            assert "the-secret-key" not in text
    assert "the-secret-key" not in str(logs)


async def test_a_request_is_logged_by_its_route_and_not_by_its_address(world: World) -> None:
    client = await world.serve()
    world.reads.add(record())
    with capture_logs() as logs:
        for path, status, level in ((STATUS, 200, "debug"), ("/nowhere", 404, "info")):
            async with client.get(path) as answer:
                assert answer.status == status
            assert logs[-1]["log_level"] == level
        world.reads.error = RuntimeError("database is locked")
        async with client.get(STATUS) as answer:
            assert answer.status == 500
    assert logs[0]["route"] == "/api/documents/status/{id}"
    assert logs[1]["route"] == "unknown"
    assert logs[-1]["log_level"] == "warning"
    assert ID not in str([line for line in logs if line["event"] == "request"])


@pytest.mark.parametrize("path", ["/api/documents/submit", "/v1/convert"])
async def test_a_document_is_logged_once_the_log_has_it(world: World, path: str) -> None:
    client = await world.serve("key-1", convert_timeout=0.01)
    key = {"X-Api-Key": "key-1"}
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        world.publisher.error = BusUnavailable("no")
        async with client.post(path, data=form_data(), headers=key) as answer:
            assert answer.status == 503
        assert "document accepted" not in [line["event"] for line in logs]
        world.publisher.error = None
        async with client.post(path, data=form_data(), headers=key) as answer:
            assert answer.status == 202
    (logged,) = [line for line in logs if line["event"] == "document accepted"]
    assert logged == {
        "event": "document accepted",
        "log_level": "info",
        "document_id": world.publisher.submitted.document_id,
        "tenant": tenant_of("key-1"),
        "size": len(PDF),
        "request_id": answer.headers["X-Request-Id"],
    }


async def test_an_unexpected_error_reveals_only_its_request_id(world: World) -> None:
    client = await world.serve()
    world.reads.error = RuntimeError("database is locked")
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        async with client.get(STATUS) as answer:
            body = await answer.json()
    assert answer.status == 500
    assert answer.content_type == "application/problem+json"
    assert "locked" not in str(body)
    assert body["requestId"] == answer.headers["X-Request-Id"]
    (logged,) = [line for line in logs if line["event"] == "unexpected error"]
    assert logged["request_id"] == body["requestId"]


async def test_every_problem_has_the_members_of_rfc_9457(world: World) -> None:
    client = await world.serve()
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "route_not_found"),
        ("DELETE", STATUS, 405, "method_not_allowed"),
        ("GET", STATUS, 404, "document_not_found"),
    ):
        async with client.request(method, path) as answer:
            body = await answer.json()
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        assert body["type"] == "about:blank"
        assert body["title"]
        assert body["detail"] == body["error"]
        assert (body["status"], body["code"], body["instance"]) == (status, code, path)
        assert ("Allow" in answer.headers) == (status == 405)


async def test_browsers_of_other_origins_may_ask(world: World) -> None:
    client = await world.serve("key-1")
    async with client.options("/v1/convert") as answer:
        assert answer.status == 204
        allowed = set(answer.headers["Access-Control-Allow-Headers"].split(", "))
        assert allowed >= {"Authorization", "X-Api-Key", "Content-Type", "Idempotency-Key"}
        assert allowed >= {"Prefer", "Range", "If-Range", "If-Match", "If-None-Match"}
    async with client.get(STATUS) as answer:
        assert answer.status == 401
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed >= {"X-Document-Id", "X-Processing-Time-Ms", "X-Extracted-Pages", "ETag"}
    assert exposed >= {"Content-Range", "Content-Disposition", "Retry-After", "Accept-Ranges"}
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_health_reports_problems(world: World) -> None:
    client = await world.serve()
    async with client.get("/health") as answer:
        body = await answer.json()
        assert answer.status == 200
    assert (body["status"], body["services"]) == ("healthy", {"database": "connected"})
    assert body["version"] == __version__
    assert body["timestamp"].endswith("Z")
    world.report = HealthReport(services={"bus": "down"}, healthy=False, problems=["bus is down"])
    for path in ("/health", "/readyz"):
        async with client.get(path) as answer:
            body = await answer.json()
            assert answer.status == 503
        assert (body["status"], body["error"]) == ("unhealthy", "bus is down")
    async with client.get("/livez") as answer:
        assert answer.status == 200


async def test_a_service_whose_core_hangs_is_not_alive(world: World) -> None:
    client = await world.serve()
    world.is_alive = False
    async with client.get("/livez") as answer:
        assert answer.status == 503
        assert (await answer.json())["code"] == "not_ready"


async def test_a_health_check_that_fails_or_hangs_is_unhealthy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> HealthReport:
        raise OSError("secret")

    monkeypatch.setattr(world, "health", fails)
    client = await world.serve()
    async with client.get("/health") as answer:
        assert answer.status == 503
        assert "secret" not in await answer.text()


async def test_the_front_page_lists_what_can_be_asked(world: World) -> None:
    client = await world.serve()
    async with client.get("/") as answer:
        body = await answer.json()
    assert (body["name"], body["version"]) == ("ilios", __version__)
    assert {"method": "POST", "path": "/v1/convert"}.items() <= body["endpoints"][0].items()
