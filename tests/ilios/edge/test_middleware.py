"""While a fault blocks the service, no answer is given that could be wrong."""

import pytest

from ilios.edge_process.core_link import SOURCE, EdgeFaults
from tests.ilios.edge.world import ID, PDF, World

OPEN = ("/", "/docs", "/openapi.json", "/livez", "/health", "/readyz")


@pytest.mark.parametrize("key", ["", "key-1"])
async def test_everything_but_health_and_static_pages_is_refused(world: World, key: str) -> None:
    client = await world.serve(*filter(None, [key]))
    world.faults.report("files", "the log is gone", blocking=True)
    for path in OPEN:
        async with client.get(path) as answer:
            assert answer.status == 200, path
    for method, path in (
        ("GET", f"/api/documents/status/{ID}"),
        ("GET", "/api/usage/summary"),
        ("POST", "/v1/convert"),
        ("DELETE", f"/api/documents/{ID}"),
        ("GET", "/nowhere"),
    ):
        async with client.request(method, path) as answer:
            assert answer.status == 503, path
            assert answer.content_type == "application/problem+json"
            assert int(answer.headers["Retry-After"]) > 0
            assert (await answer.json())["code"] == "not_ready"


async def test_a_fault_that_does_not_block_and_one_that_is_over_change_nothing(
    world: World,
) -> None:
    client = await world.serve()
    world.faults.report("snapshots", "none can be made")
    world.faults.report("files", "the log is gone", blocking=True)
    world.faults.resolve("files")
    async with client.get("/api/usage/summary") as answer:
        assert answer.status == 200


async def test_nobody_is_promised_anything_when_a_fault_is_found_after_all(world: World) -> None:
    world.check_faults = lambda: world.faults.report("files", "gone", blocking=True)
    client = await world.serve()
    headers = {"Content-Type": "application/pdf"}
    async with client.post("/api/documents/submit", data=PDF, headers=headers) as answer:
        assert answer.status == 503
        assert (await answer.json())["code"] == "not_ready"


async def test_what_is_accepted_stays_promised_when_the_core_ends_meanwhile(world: World) -> None:
    """A client that was refused would submit again, and pay twice."""
    world.faults = EdgeFaults({})
    world.check_faults = lambda: world.faults.report(SOURCE, "it has ended", blocking=True)
    client = await world.serve()
    headers = {"Content-Type": "application/pdf"}
    async with client.post("/api/documents/submit", data=PDF, headers=headers) as answer:
        assert answer.status == 202
    async with client.post("/api/documents/submit", data=PDF, headers=headers) as answer:
        assert answer.status == 503
