"""HTTP requests to a service that is killed meanwhile, and what each client waits for."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from ilios.chaos.documents import SampleDocument
from ilios.chaos.processes import ServiceProcess

BATCH = "/v1/batch/submit"
REQUEST_TIMEOUT = 60.0  # seconds; a pause and a restart may fall into one request
RETRY_PAUSE = 0.05  # seconds
UNAVAILABLE_STATUSES = (429, 503, 507)
"""Statuses that mean: try again later."""


class Activity(Struct):
    """What a client does: its action, and the attempts of the request that it waits for."""

    action: str
    since: float
    request: str = ""
    attempts: int = 0
    last_result: str = "none yet"


class Activities:
    """What every client does at the moment, for the report of a run that does not go on."""

    def __init__(self) -> None:
        self._by_task: dict[asyncio.Task[Any] | None, Activity] = {}

    @contextmanager
    def doing(self, action: str) -> Iterator[None]:
        """Record that the current task takes this action."""
        task = asyncio.current_task()
        self._by_task[task] = Activity(action, time.monotonic())
        try:
            yield
        finally:
            del self._by_task[task]

    def attempt(self, request: str) -> None:
        """Record that the current task sends a request."""
        if (activity := self._by_task.get(asyncio.current_task())) is not None:
            activity.request = request
            activity.attempts += 1

    def result(self, result: str) -> None:
        """Record how the last attempt has ended."""
        if (activity := self._by_task.get(asyncio.current_task())) is not None:
            activity.last_result = result

    def __str__(self) -> str:
        now = time.monotonic()
        lines = [
            f"{one.action} for {now - one.since:.0f} s: {one.request or 'no request'}, "
            f"{one.attempts} attempts, the last result: {one.last_result}"
            for one in self._by_task.values()
        ]
        return "\n".join(lines) or "no client has anything to do"


class Response(Struct, frozen=True):
    """The response to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:  # noqa: ANN401  # the service under test may send anything
        """The decoded body; an empty object where it is no JSON object."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def document_ids(self) -> tuple[str, ...]:
        """The ids of the documents a submission has made; none where the response names none."""
        if "X-Document-Id" in self.headers:
            return (self.headers["X-Document-Id"],)
        if "documents" in self.json:
            return tuple(str(one["id"]) for one in self.json["documents"])
        return (str(self.json["id"]),) if "id" in self.json else ()


class HttpClient:
    """Requests to wherever the service listens at the moment."""

    def __init__(self, service: ServiceProcess, session: aiohttp.ClientSession) -> None:
        self._service = service
        self._session = session
        self.activities = Activities()

    async def request(
        self,
        method: str,
        path: str,
        samples: Sequence[SampleDocument] = (),
        idempotency_key: str = "",
    ) -> Response | None:
        """Return the response; None where there was none."""
        self.activities.attempt(f"{method} {path}")
        if not self._service.url:
            self.activities.result("the service is being started")
            await asyncio.sleep(RETRY_PAUSE)
            return None
        form = aiohttp.FormData() if samples else None
        for sample in samples:
            assert form is not None
            part = "files" if path == BATCH else "file"
            form.add_field(part, sample.content, filename=sample.file_name)
            if path != BATCH:  # the reference in the form of a batch is that of the batch
                form.add_field("reference", sample.sha256)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        try:
            async with self._session.request(
                method, self._service.url + path, data=form, headers=headers
            ) as response:
                body = await response.read()
                self.activities.result(f"{response.status} {body[:200].decode(errors='replace')}")
                return Response(response.status, response.headers.copy(), body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.activities.result(repr(error))
            await asyncio.sleep(RETRY_PAUSE)
            return None

    async def request_until_answered(
        self,
        method: str,
        path: str,
        samples: Sequence[SampleDocument] = (),
        idempotency_key: str = "",
    ) -> Response:
        """Repeat the request until it is answered by something else than unavailability."""
        while True:
            response = await self.request(method, path, samples, idempotency_key)
            if response is not None and response.status not in UNAVAILABLE_STATUSES:
                return response
            await asyncio.sleep(RETRY_PAUSE)


@asynccontextmanager
async def open_client(service: ServiceProcess) -> AsyncIterator[HttpClient]:
    """Open a client for the time of the context."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    # No limit of connections: a request that waits for a conversion must not delay the others.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield HttpClient(service, session)
