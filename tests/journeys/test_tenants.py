"""Documents of another tenant look like ones that do not exist."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from schemas.ids import new_id
from tests import documents
from tests.journeys.running import running_service
from tests.waiting import wait_until

OWNER, STRANGER = "owner-key-0123456789", "stranger-key-0123456789"

# Every address that names something, and everything an HTTP client can do to it.
ADDRESSES = (
    "/api/documents/status/{id}",
    "/api/documents/{id}",
    "/api/documents/{id}?format=json",
    "/api/documents/{id}/original",
    "/api/documents/upload-complete/{id}",
    "/v1/documents/{id}/events",
    "/v1/documents/{id}/history",
    "/v1/batch/{id}/events",
    "/v1/batch/status/{id}",
    "/v1/batch/status/{id}?details=true",
    "/v1/batch/download/{id}",
    "/v1/batch/download/{id}?format=zip",
)
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECRET = "Meridian"


class TenantData:
    """The ids of the owner's documents, and requests with any key."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ids: dict[str, str] = {}

    async def request(
        self, key: str, verb: str, path: str, **more: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of one answer."""
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(verb, self.url + path, headers=headers, **more) as response,
        ):
            named = {name.lower(): value for name, value in response.headers.items()}
            return response.status, named, await response.read()

    async def request_json(self, key: str, verb: str, path: str, **more: Any) -> Any:
        """Return one answer's JSON; it must be a good one."""
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(verb, self.url + path, headers=headers, **more) as response,
        ):
            assert response.status < 300, await response.text()
            return await response.json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenant_data(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TenantData]:
    """A service with two keys, and the documents of one of them, which no test changes."""
    data = tmp_path_factory.mktemp("tenants")
    async with running_service(data, API_KEY=f"{OWNER},{STRANGER}") as service:
        tenant = TenantData(service.url)
        pdf = documents.pdf(SECRET)
        form = aiohttp.FormData()
        form.add_field("file", pdf, filename="secret.pdf")
        document = await tenant.request_json(OWNER, "POST", "/api/documents/submit", data=form)
        form = aiohttp.FormData()
        form.add_field("files", pdf, filename="one.pdf")
        form.add_field("files", pdf, filename="two.pdf")
        batch = await tenant.request_json(OWNER, "POST", "/v1/batch/submit", data=form)
        asked = {"fileName": "later.pdf", "fileSize": len(pdf)}
        upload = await tenant.request_json(OWNER, "POST", "/api/documents/upload-url", json=asked)
        tenant.ids = {
            "document": document["id"],
            "batch": batch["batchId"],
            "document of the batch": batch["documents"][0]["id"],
            "upload": upload["id"],
        }

        async def is_complete() -> bool:
            path = f"/v1/batch/status/{batch['batchId']}"
            return bool((await tenant.request_json(OWNER, "GET", path))["status"] == "completed")

        await wait_until(is_complete, 60)
        yield tenant


def without_names(answer: tuple[int, dict[str, str], bytes], name: str) -> object:
    """Return an answer without what differs between any two: its id, the request's and the time."""
    status, headers, body = answer
    volatile = {"date", "x-request-id"}
    request_id = headers.get("x-request-id", "-").encode()
    text = body.replace(name.encode(), b"ID").replace(request_id, b"REQUEST")
    return status, {k: v for k, v in headers.items() if k not in volatile}, text


async def test_another_tenant_cannot_learn_what_exists(tenant_data: TenantData) -> None:
    # A matching form for both: an id of a batch's document is longer than others.
    unknown = {what: name[:-4] + "zzzz" for what, name in tenant_data.ids.items()}
    for what, name in tenant_data.ids.items():
        for address in ADDRESSES:
            for verb in VERBS:
                stranger = await tenant_data.request(STRANGER, verb, address.format(id=name))
                nothing = await tenant_data.request(
                    STRANGER, verb, address.format(id=unknown[what])
                )
                where = f"{verb} {address} of a {what}"
                assert without_names(stranger, name) == without_names(nothing, unknown[what]), where
                assert stranger[0] in (204, 400, 404, 405), where
                assert SECRET.encode() not in stranger[2], where
                assert b"secret.pdf" not in stranger[2], where
    # And nothing the stranger tried has changed the document.
    path = f"/api/documents/{tenant_data.ids['document']}"
    status, _, body = await tenant_data.request(OWNER, "GET", path)
    assert (status, SECRET.encode() in body) == (200, True)


async def test_usage_counts_only_the_documents_of_the_key(tenant_data: TenantData) -> None:
    mine = await tenant_data.request_json(OWNER, "GET", "/api/usage/summary")
    theirs = await tenant_data.request_json(STRANGER, "GET", "/api/usage/summary")
    assert mine["totalDocuments"] >= 2
    assert (theirs["totalDocuments"], theirs["totalCostCents"]) == (0, 0)
    breakdown = await tenant_data.request_json(STRANGER, "GET", "/api/usage/breakdown")
    assert breakdown == {"breakdown": []}


async def test_without_a_key_only_open_pages_are_answered(tenant_data: TenantData) -> None:
    addresses = [address.format(id=tenant_data.ids["document"]) for address in ADDRESSES]
    async with aiohttp.ClientSession(tenant_data.url) as session:
        for verb in ("GET", "POST", "PUT", "DELETE"):
            for path in (*addresses, "/api/usage/summary", f"/nothing/{new_id()}"):
                async with session.request(verb, path) as response:
                    assert response.status == 401, (verb, path)
