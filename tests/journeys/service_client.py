"""Clients of a running service, and what its database has of their documents."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec
import nats
import nats.errors

from schemas.documents import DocumentSubmitted, Inline
from schemas.ids import new_id
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.waiting import wait_until

FREQUENT_JANITOR = {"ILIOS_JANITOR_INTERVAL": "1"}
"""The settings of a service whose janitor runs every second."""
WITHIN = 60.0  # seconds; a machine under load is slow, not wrong
ANSWERED_WITHIN = 60.0  # seconds for one request; a degraded service may be slow


class Response(NamedTuple):
    """The response to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error code of the problem."""
        return str(msgspec.json.decode(self.body)["code"])


class ServiceClient:
    """Submits generated documents by HTTP and by the bus, also to a service that is not well.

    ``accepted_texts`` maps the id of each accepted document to the first line of its text.
    """

    def __init__(
        self, service: RunningService, *, pages: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        self._service = service
        self._pages = pages
        self._made = 0
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWERED_WITHIN), headers=headers
        )
        self.accepted_texts: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, **sent: Any) -> Response:
        """Send any request."""
        url = self._service.url + path
        async with self._session.request(method, url, **sent) as response:
            return Response(response.status, response.headers, await response.read())

    async def submit(self) -> Response:
        """Submit the next document."""
        words, content = self._next()
        form = aiohttp.FormData()
        form.add_field("file", content, filename="report.pdf")
        answer = await self.send("POST", "/api/documents/submit", data=form)
        if answer.status == 202:
            self.accepted_texts[msgspec.json.decode(answer.body)["id"]] = words
        return answer

    async def is_accepted(self) -> bool:
        """Whether a document is accepted at this moment."""
        return (await self.submit()).status == 202

    async def publish(self, within: float = 5.0) -> str | None:
        """Submit the next document by the bus; returns its id when the log has acknowledged it."""
        words, content = self._next()
        event = DocumentSubmitted(document_id=new_id(), source=Inline(content))
        if not await self.publish_event(event, within):
            return None
        self.accepted_texts[event.document_id] = words
        return event.document_id

    async def publish_event(self, event: DocumentSubmitted, within: float = 5.0) -> bool:
        """Submit by the bus; returns whether the log has acknowledged it."""
        url = (self._service.data_dir / "nats" / "publisher.url").read_text().strip()
        client = await nats.connect(url)
        try:
            subject = f"ilios.document.submitted.p05.default.{event.document_id}"
            answer = await client.request(subject, msgspec.json.encode(event), timeout=within)
        except nats.errors.TimeoutError:
            return False
        finally:
            await client.close()
        return bool(msgspec.json.decode(answer.data).get("seq"))

    async def status(self, document_id: str) -> str:
        """Return the status of a document."""
        answer = await self.send("GET", f"/api/documents/status/{document_id}")
        assert answer.status == 200, answer.body
        return str(msgspec.json.decode(answer.body)["status"])

    async def first_line(self, document_id: str) -> str:
        """Return a completed document's first line."""
        answer = await self.send("GET", f"/api/documents/{document_id}")
        assert answer.status == 200, answer.body
        return answer.body.decode().strip().splitlines()[0]

    async def health_error(self) -> str:
        """Return the error that health reports."""
        answer = await self.send("GET", "/health")
        return str(msgspec.json.decode(answer.body).get("error") or "")

    def _next(self) -> tuple[str, bytes]:
        self._made += 1
        words = f"Token{self._made:05d} belongs to document {self._made}"
        filling = [f"Page {number} of {self._made}\n" * 30 for number in range(1, self._pages)]
        return words, documents.pdf(words, *filling)


class Client:
    """Submits and reads documents, each request on a connection of its own."""

    def __init__(self, service: RunningService) -> None:
        self._service = service

    async def submit(self, content: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field("file", content, filename="report.pdf")
        url = f"{self._service.url}/api/documents/submit"
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as response:
            assert response.status == 202
            return str((await response.json())["id"])

    async def get(self, path: str) -> tuple[int, bytes]:
        url = self._service.url + path
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.read()

    async def status(self, name: str) -> Any:
        url = f"{self._service.url}/api/documents/status/{name}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200
            return await response.json()

    async def wait_for(self, name: str, *states: str) -> None:
        async def is_there() -> bool:
            return (await self.status(name))["status"] in states

        await wait_until(is_there, WITHIN)


async def wait_until_completed(client: ServiceClient, data: Path) -> None:
    """Wait until all that was accepted is completed, with its own text, and billed once."""
    await wait_until(
        lambda: all(
            document_states(data / "ilios.db").get(one) == "completed"
            for one in client.accepted_texts
        ),
        within=WITHIN,
    )
    for document, words in client.accepted_texts.items():
        assert await client.first_line(document) == words
    assert billed_documents(data / "ilios.db") == sorted(document_states(data / "ilios.db"))


def document_states(database: Path) -> dict[str, str]:
    """Return the state of each document in the database."""
    # Closed at once: an open connection would keep the write-ahead log from being removed.
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT id, state FROM documents").fetchall())


def billed_documents(database: Path) -> list[str]:
    """Return the document of each row of the usage table."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT document_id FROM usage").fetchall()
    return sorted(document for (document,) in found)


async def kill_with_unfinished(data: Path, count: int) -> list[str]:
    """Return the ids of documents of which a service that was killed completed the first at most.

    All of them are in its database.
    """
    long = documents.pdf(*(f"page {number} " * 40 for number in range(300)))
    async with running_service(data, WORKER_COUNT="1") as service:
        client = Client(service)
        names = [await client.submit(long) for _ in range(count)]
        await wait_until(lambda: len(document_states(data / "ilios.db")) == count)
        await service.kill("all")
    return names
