"""Requests to a service that may be away at any moment."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from ilios.chaos.documents import SampleDocument
from ilios.chaos.processes import ServiceProcess

REQUEST_TIMEOUT = 60.0  # seconds; a pause and a restart may fall into one request
RETRY_PAUSE = 0.05  # seconds until somebody who got no answer asks again
UNAVAILABLE_STATUSES = (429, 503, 507)
"""Answers that say: not now."""


class Response(Struct, frozen=True):
    """What was answered to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:  # noqa: ANN401  # what a service says that is under suspicion
        """The body, decoded; an empty object where it is no JSON object."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}


class HttpClient:
    """Asks wherever the service listens at the moment."""

    def __init__(self, service: ServiceProcess, session: aiohttp.ClientSession) -> None:
        self._service = service
        self._session = session

    async def request(
        self,
        method: str,
        path: str,
        samples: tuple[SampleDocument, ...] = (),
        idempotency_key: str = "",
    ) -> Response | None:
        """Return what is answered, or None: nobody did."""
        if not self._service.url:
            await asyncio.sleep(RETRY_PAUSE)  # somebody starts it again
            return None
        form = aiohttp.FormData() if samples else None
        for sample in samples:
            part = "files" if "batch" in path else "file"
            assert form is not None
            form.add_field(part, sample.content, filename=sample.file_name)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        try:
            async with self._session.request(
                method, self._service.url + path, data=form, headers=headers
            ) as response:
                return Response(response.status, response.headers.copy(), await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            await asyncio.sleep(RETRY_PAUSE)
            return None

    async def request_until_answered(
        self,
        method: str,
        path: str,
        samples: tuple[SampleDocument, ...] = (),
        idempotency_key: str = "",
    ) -> Response:
        """Ask again until somebody answers, and not that it is away."""
        while True:
            response = await self.request(method, path, samples, idempotency_key)
            if response is not None and response.status not in UNAVAILABLE_STATUSES:
                return response
            await asyncio.sleep(RETRY_PAUSE)


@asynccontextmanager
async def open_client(service: ServiceProcess) -> AsyncIterator[HttpClient]:
    """Ask while the context is open."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    # No limit of connections: who waits for a conversion must not keep others from asking.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield HttpClient(service, session)
