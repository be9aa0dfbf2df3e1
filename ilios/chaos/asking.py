"""Requests to a service that may be away at any moment."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from ilios.chaos.papers import Paper
from ilios.chaos.victims import ServiceProcess

ANSWERED_WITHIN = 60.0  # seconds; a pause and a restart may fall into one request
PAUSE = 0.05  # seconds until somebody who got no answer asks again
AWAY = (429, 503, 507)
"""Answers that say: not now."""


class Answer(Struct, frozen=True):
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


class Asking:
    """Asks wherever the service listens at the moment."""

    def __init__(self, service: ServiceProcess, session: aiohttp.ClientSession) -> None:
        self._service = service
        self._session = session

    async def once(
        self, method: str, path: str, papers: tuple[Paper, ...] = (), key: str = ""
    ) -> Answer | None:
        """Return what is answered, or None: nobody did."""
        if not self._service.url:
            await asyncio.sleep(PAUSE)  # somebody starts it again
            return None
        form = aiohttp.FormData() if papers else None
        for paper in papers:
            part = "files" if "batch" in path else "file"
            assert form is not None
            form.add_field(part, paper.content, filename=paper.file_name)
        headers = {"Idempotency-Key": key} if key else {}
        try:
            async with self._session.request(
                method, self._service.url + path, data=form, headers=headers
            ) as answer:
                return Answer(answer.status, answer.headers.copy(), await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            await asyncio.sleep(PAUSE)
            return None

    async def until_answered(
        self, method: str, path: str, papers: tuple[Paper, ...] = (), key: str = ""
    ) -> Answer:
        """Ask again until somebody answers, and not that it is away."""
        while True:
            answer = await self.once(method, path, papers, key)
            if answer is not None and answer.status not in AWAY:
                return answer
            await asyncio.sleep(PAUSE)


@asynccontextmanager
async def asking(service: ServiceProcess) -> AsyncIterator[Asking]:
    """Ask while the context is open."""
    timeout = aiohttp.ClientTimeout(total=ANSWERED_WITHIN)
    # No limit of connections: who waits for a conversion must not keep others from asking.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Asking(service, session)
