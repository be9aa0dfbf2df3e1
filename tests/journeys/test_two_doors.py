"""One table of requests, each sent by HTTP and by the bus: the answers are the same."""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import msgspec
import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from ilios.api_keys import tenant_of
from ilios.edge.bus_service.described import STATUS_HEADER
from tests.journeys.request_table import (
    BROKEN,
    FILE,
    PDF,
    TABLE,
    Sent,
    batch,
    files,
    raw,
    submission,
    submit,
)
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

OWNER, STRANGER = "owner-key-0123456789", "stranger-key-0123456789"
IDS = re.compile(r"\b[a-z0-9]{24}(\d{3})?\b")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
ASIDE = {"instance", "requestId", "processing_time_ms", "processingTimeMs"}
"""Members that are another's for each request: where and when it was sent."""


class Reply(NamedTuple):
    """What came back, by either door."""

    status: int
    headers: dict[str, str]
    body: bytes


class Doors:
    """A service with two tenants, and what the owner has made there."""

    def __init__(
        self, service: RunningService, session: aiohttp.ClientSession, bus: Client
    ) -> None:
        self._service = service
        self._session = session
        self._bus = bus
        self.ids: dict[str, str] = {}

    async def http(self, sent: Sent, api_key: str = OWNER) -> Reply:
        more = dict(sent.http or {})
        headers = {"Authorization": f"Bearer {api_key}"} | more.pop("headers", {})
        if sent.key:
            headers["Idempotency-Key"] = sent.key
        url = self._service.url + self.filled(sent.path)
        async with self._session.request(sent.method, url, headers=headers, **more) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.read())

    async def bus(self, sent: Sent) -> Reply:
        body = sent.members
        if not isinstance(body, bytes):
            body = msgspec.json.encode({} if body is None else body)
        headers = {"Idempotency-Key": sent.key} if sent.key else None
        body = self.filled(body.decode()).encode()
        subject = f"ilios.api.{sent.operation}"
        message = await self._bus.request(subject, body, timeout=60, headers=headers)
        found = dict(message.headers or {})
        return Reply(int(found[STATUS_HEADER]), found, message.data)

    def filled(self, text: str) -> str:
        for name, value in self.ids.items():
            text = text.replace(f"<{name}>", value)
        return text

    async def make(self, name: str, content: bytes, api_key: str = OWNER) -> None:
        http = {"data": content, "headers": {"Content-Type": "application/pdf"}}
        sent = Sent("POST", "/api/documents/submit?fileName=made.pdf", "", http=http)
        self.ids[name] = msgspec.json.decode((await self.http(sent, api_key)).body)["id"]

        async def has_ended() -> bool:
            status = await self.http(Sent("GET", f"/api/documents/status/<{name}>", ""), api_key)
            return msgspec.json.decode(status.body)["status"] in ("completed", "failed")

        await wait_until(has_ended, within=60)

    async def make_all(self) -> None:
        await self.make("completed", PDF)
        await self.make("failed", BROKEN)
        await self.make("removed", PDF)
        await self.make("foreign", PDF, STRANGER)
        await self.http(Sent("DELETE", "/api/documents/<removed>", ""))
        for name, api_key in (("batch", OWNER), ("foreign-batch", STRANGER)):
            form = {"data": files(PDF, PDF)}
            made = await self.http(Sent("POST", "/v1/batch/submit", "", http=form), api_key)
            self.ids[name] = msgspec.json.decode(made.body)["batchId"]

            async def has_ended(name: str = name, api_key: str = api_key) -> bool:
                sent = Sent("GET", f"/v1/batch/status/<{name}>", "")
                found = msgspec.json.decode((await self.http(sent, api_key)).body)
                return found["completedAt"] is not None

            await wait_until(has_ended, within=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    data = tmp_path_factory.mktemp("doors")
    keys = f"{OWNER},{STRANGER}"
    async with (
        running_service(data, API_KEY=keys, ILIOS_MAX_FILE_MB="1") as service,
        aiohttp.ClientSession() as session,
    ):
        url = (data / "nats" / f"publisher-{tenant_of(OWNER)}.url").read_text().strip()
        bus = await nats.connect(url)
        try:
            made = Doors(service, session, bus)
            await made.make_all()
            yield made
        finally:
            await bus.close()


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_is_answered_alike_by_both_doors(doors: Doors, name: str) -> None:
    sent = TABLE[name]()
    by_http, by_bus = await doors.http(sent), await doors.bus(sent)
    if sent.operation == "usage":  # documents of other requests may have been billed in between
        while comparable(again := await doors.http(sent), sent) != comparable(by_http, sent):
            by_http, by_bus = again, await doors.bus(sent)
    assert by_bus.status == by_http.status, (by_http.body, by_bus.body)
    assert comparable(by_bus, sent) == comparable(by_http, sent)
    assert comparable_headers(by_bus) == comparable_headers(by_http)
    refused = by_bus.status >= 400
    assert ("Nats-Service-Error" in by_bus.headers) == refused
    assert by_bus.headers.get("Nats-Service-Error-Code") == (
        str(by_bus.status) if refused else None
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_that_is_repeated_by_the_other_door_is_one_request(doors: Doors) -> None:
    sent = submit(FILE, "submit", submission(), **raw())._replace(key="repeated")
    by_http, by_bus, again = await doors.http(sent), await doors.bus(sent), await doors.http(sent)
    assert by_bus.body == by_http.body == again.body
    assert "Idempotent-Replayed" not in by_http.headers
    assert by_bus.headers["Idempotent-Replayed"] == again.headers["Idempotent-Replayed"] == "true"
    other = submit(FILE, "submit", submission(options={"comments": True}), **raw())._replace(
        key="repeated", path=f"{FILE}&comments=true"
    )
    by_http, by_bus = await doors.http(other), await doors.bus(other)
    assert by_bus.status == by_http.status == 422
    assert comparable(by_bus, other) == comparable(by_http, other)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_batch_that_is_repeated_by_the_other_door_is_one_batch(doors: Doors) -> None:
    sent = batch(3, retention_days=9)._replace(key="repeated batch")
    by_bus, by_http = await doors.bus(sent), await doors.http(sent)
    assert by_bus.status == 202
    assert by_bus.body == by_http.body


def comparable(reply: Reply, sent: Sent) -> Any:
    """Return the body without what differs between any two requests."""
    if "json" not in content_type(reply) or "ndjson" in content_type(reply):
        return reply.body
    found = msgspec.json.decode(reply.body)
    return without_aside(found, words=sent.words)


def without_aside(found: Any, *, words: bool) -> Any:
    match found:
        case dict():
            left = ASIDE if words else ASIDE | {"error", "detail", "details"}
            return {
                name: without_aside(value, words=words)
                for name, value in found.items()
                if name not in left
            }
        case list():
            return [without_aside(value, words=words) for value in found]
        case str():
            # The bus has the names of events, which are those of HTTP in another spelling.
            named = re.sub(r"\b([a-z]+)_([a-z]+)\b", lambda m: m[1] + m[2].title(), found)
            return MOMENT.sub("<time>", IDS.sub("<id>", named))
        case _:
            return found


def content_type(reply: Reply) -> str:
    return reply.headers["Content-Type"].partition(";")[0]


COMPARED = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "Location",
    "Retry-After",
    "X-Extracted-Pages",
    "X-Partial",
    "X-Warnings",
)


def comparable_headers(reply: Reply) -> dict[str, str]:
    given = {name.lower(): value for name, value in reply.headers.items()}
    found = {
        name: IDS.sub("<id>", given[name.lower()]) for name in COMPARED if name.lower() in given
    }
    if reply.status == 200 and "json" in content_type(reply):
        found.pop("ETag", None)  # the time of the conversion is a part of it
    return found | {"Content-Type": content_type(reply)}
