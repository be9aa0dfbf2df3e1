"""Clients that do everything at once, and remember what they were promised."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec

from tests import documents
from tests.journeys.running import RunningService

REQUESTS = 220
CLIENTS = 6
ACTIONS = {"submit": 3, "batch": 4, "once": 2, "repeat": 3, "delete": 4}
"""What a client does next, and how often beside the rest."""
IDEMPOTENT_PATHS = ("/v1/convert", "/v1/batch/submit", "/api/documents/submit")
BROKEN_PDF = b"%PDF-1.7 and nothing else"
FILLER_PAGES = tuple(f"This is line {number}\n" * 40 for number in range(60))
"""Pages that keep an engine busy for a while, so that something is caught half way."""
RECENT = 12  # documents, of which most are still under way
PAUSE = 0.05  # seconds until somebody who got no answer asks again


class Response(NamedTuple):
    """What was answered to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Request(NamedTuple):
    """A request that may be repeated, and the documents it has made."""

    path: str
    contents: list[bytes]
    key: str
    document_ids: list[str]


class MixedLoad:
    """Clients that submit, convert, repeat and delete, whatever happens meanwhile.

    ``words`` maps the id of each accepted document to what only its text says, None where it
    cannot be converted; ``receipts`` that of each removed one to what its receipt says it became.
    """

    def __init__(self, service: RunningService, seed: int) -> None:
        self._service = service
        self._chance = random.Random(seed)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self._repeatable: list[Request] = []
        self._made = 0
        self.started = 0
        self.expected_texts: dict[str, str | None] = {}
        self.batches: dict[str, list[str]] = {}
        self.removing: set[str] = set()
        self.receipts: dict[str, str | None] = {}

    async def run(self) -> None:
        """Return when ``REQUESTS`` things were done."""
        async with self._session:
            await asyncio.gather(*(self._client() for _ in range(CLIENTS)))

    async def _client(self) -> None:
        while self.started < REQUESTS:
            self.started += 1
            (action,) = self._chance.choices(list(ACTIONS), list(ACTIONS.values()))
            await getattr(self, f"_{action}")()

    async def _submit(self) -> None:
        """Without a key: if nobody answers, nobody knows whether there is a document."""
        contents, words = self._new_documents(1)
        answer = await self._send("POST", "/api/documents/submit", contents)
        if answer is not None:
            await self._record_accepted(answer, words)

    async def _batch(self) -> None:
        contents, words = self._new_documents(self._chance.randint(2, 8))
        answer = await self._send("POST", "/v1/batch/submit", contents)
        if answer is not None:
            await self._record_accepted(answer, words)

    async def _once(self) -> None:
        """With a key, and so until somebody answers."""
        path = self._chance.choice(IDEMPOTENT_PATHS)
        contents, words = self._new_documents(3 if "batch" in path else 1)
        key = f"key-{self._made}"
        answer = await self._send_until_answered("POST", path, contents, key)
        self._repeatable.append(
            Request(path, contents, key, await self._record_accepted(answer, words))
        )

    async def _repeat(self) -> None:
        if not self._repeatable:
            return
        request = self._chance.choice(self._repeatable)
        answer = await self._send_until_answered(
            "POST", request.path, request.contents, request.key
        )
        if answer.status == 410:
            assert self.removing.issuperset(request.document_ids)
        else:
            assert answer.headers.get("Idempotent-Replayed") == "true"
            assert _document_ids(answer) == request.document_ids

    async def _delete(self) -> None:
        remaining = [name for name in self.expected_texts if name not in self.removing]
        if not remaining:
            return
        name = self._chance.choice(self._chance.choice((remaining, remaining[-RECENT:])))
        self.removing.add(name)
        answer = await self._send_until_answered("DELETE", f"/api/documents/{name}")
        assert answer.status in (200, 202), answer
        self.receipts[name] = answer.json["status"] if answer.status == 200 else None

    def _new_documents(self, count: int) -> tuple[list[bytes], list[str | None]]:
        """Make documents, each with words of its own; now and then one that is none."""
        words: list[str | None] = []
        for _ in range(count):
            self._made += 1
            broken = self._chance.random() < 0.1
            words.append(None if broken else f"Token{self._made:05d} is here alone")
        more = FILLER_PAGES if self._chance.random() < 0.3 else ()
        return [BROKEN_PDF if text is None else documents.pdf(text, *more) for text in words], words

    async def _record_accepted(self, answer: Response, texts: list[str | None]) -> list[str]:
        """Remember what was made, and ask for it at once: what was accepted is never unknown."""
        assert answer.status in (200, 202, 422), answer
        ids = _document_ids(answer)
        self.expected_texts |= dict(zip(ids, texts, strict=True))
        status = await self._send_until_answered("GET", f"/api/documents/status/{ids[-1]}")
        assert status.status == 200, status
        if answer.status == 202 and "batchId" in answer.json:
            batch = answer.json["batchId"]
            self.batches[batch] = ids
            status = await self._send_until_answered("GET", f"/v1/batch/status/{batch}")
            assert (status.status, status.json["progress"]["total"]) == (200, len(ids))
        return ids

    async def _send_until_answered(
        self, method: str, path: str, contents: list[bytes] | None = None, key: str = ""
    ) -> Response:
        while True:
            answer = await self._send(method, path, contents, key)
            if answer is not None:
                return answer

    async def _send(
        self, method: str, path: str, contents: list[bytes] | None = None, key: str = ""
    ) -> Response | None:
        """Return what is answered, or None: nobody did, or the bus is away."""
        form = aiohttp.FormData() if contents else None
        for content in contents or ():
            part = "files" if "batch" in path else "file"
            form.add_field(part, content, filename="same-name.pdf")  # type: ignore[union-attr]
        headers = {"Idempotency-Key": key} if key else {}
        url = self._service.url + path
        try:
            async with self._session.request(method, url, data=form, headers=headers) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(PAUSE)  # the service is away; somebody starts it again
            return None
        if answer.status == 503:
            await asyncio.sleep(PAUSE)
            return None
        return Response(answer.status, answer.headers, body)


def _document_ids(answer: Response) -> list[str]:
    """Return the ids of the documents a request has made."""
    if "X-Document-Id" in answer.headers:
        return [answer.headers["X-Document-Id"]]
    body = answer.json
    return [one["id"] for one in body["documents"]] if "documents" in body else [body["id"]]
