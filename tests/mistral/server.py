"""The server: the routes, what stands before all of them, and the running of it."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

from aiohttp import web

from tests.mistral import errors, sending
from tests.mistral.control import Control
from tests.mistral.errors import Refused
from tests.mistral.faults import Endpoint, Fault
from tests.mistral.parts import FakeMistral
from tests.mistral.reading import digest
from tests.mistral.rules import Rules

KEY = "the-key-of-the-fake"
MOST_BODY = 200_000_000
"""Bytes of JSON: three documents of the size that is allowed, so that the limit is the fake's."""

SHUTDOWN = 0.1  # seconds for answers that are on their way when the fake is closed
OWN = ("/_fake/", "/_files/")
"""Paths that need no key and never fail."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[], Awaitable[web.StreamResponse]]


class Doorkeeper:
    """Looks at the key, lets faults happen, and words all errors as the API does."""

    def __init__(self, fake: FakeMistral) -> None:
        self._fake = fake

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, whatever happens."""
        try:
            if request.path.startswith(OWN):
                return await handler(request)
            return await self._answer(request, handler)
        except Refused as error:
            return sending.refusal(error)
        except web.HTTPRequestEntityTooLarge:
            return sending.refusal(errors.too_large(request.content_length or 0, MOST_BODY))
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            return sending.refusal(Refused(error.status, {"detail": error.reason}))

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        endpoint = cast("Endpoint", request.match_info.route.name or "unknown")
        self._fake.book.requests[endpoint] += 1
        self._look_at_key(request)
        if endpoint == "ocr":  # its faults depend on the document
            return await handler(request)
        work: Work = partial(handler, request)
        subject = self._subject(request)
        if endpoint == "files.upload":
            received = await self._fake.files_api.receive(request)
            subject = digest(received.content or b"")
            work = partial(self._fake.files_api.keep, received)
        fault = self._fake.faults.pick(endpoint, subject)
        if fault is None:
            return await work()
        return await self._go_wrong(request, work, endpoint, fault)

    def _look_at_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise errors.unauthorized()
        if not hmac.compare_digest(key.encode(), self._fake.key.encode()):
            raise errors.unauthorized("Invalid API Key")

    async def _go_wrong(
        self, request: web.Request, work: Work, endpoint: Endpoint, fault: Fault
    ) -> web.StreamResponse:
        book = self._fake.book
        if fault.kind == "hang":
            book.fail(endpoint, fault.kind, done=False)
            await asyncio.Event().wait()  # the server cancels this when the client has gone
        if refusal := fault.refusal():
            book.fail(endpoint, fault.kind, done=False)
            async for _ in request.content.iter_any():
                pass  # to refuse before all has come would break the connection instead
            raise refusal
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        response = await work()
        book.fail(endpoint, fault.kind, done=True)
        if not fault.spoils or not isinstance(response, web.Response):
            return response
        return await sending.spoiled(request, cast("bytes", response.body), fault)

    def _subject(self, request: web.Request) -> str:
        """Return what a request is about; ids are made up, and so would not repeat a run."""
        match request.match_info:
            case {"file_id": id_}:
                return self._fake.files.name_of(id_)
            case {"job_id": id_}:
                return self._fake.jobs.name_of(id_)
        return request.path


def app_of(fake: FakeMistral) -> web.Application:
    """Return the application; the name of a route is the endpoint that faults know it by."""
    app = web.Application(client_max_size=MOST_BODY, middlewares=[web.middleware(Doorkeeper(fake))])
    files, batches = fake.files_api, fake.batches_api
    app.add_routes(
        [
            web.post("/v1/ocr", fake.ocr.handle, name="ocr"),
            web.post("/v1/files", files.upload, name="files.upload"),
            web.get("/v1/files", files.list, name="files.list"),
            web.get("/v1/files/{file_id}", files.retrieve, name="files.retrieve"),
            web.delete("/v1/files/{file_id}", files.delete, name="files.delete"),
            web.get("/v1/files/{file_id}/content", files.content, name="files.content"),
            web.get("/v1/files/{file_id}/url", files.url, name="files.url"),
            web.get("/_files/{file_id}", files.linked),
            web.post("/v1/batch/jobs", batches.create, name="batch.create"),
            web.get("/v1/batch/jobs", batches.list, name="batch.list"),
            web.get("/v1/batch/jobs/{job_id}", batches.get, name="batch.get"),
            web.delete("/v1/batch/jobs/{job_id}", batches.delete, name="batch.delete"),
            web.post("/v1/batch/jobs/{job_id}/cancel", batches.cancel, name="batch.cancel"),
            *Control(fake).routes(),
        ]
    )
    return app


@asynccontextmanager
async def fake_mistral(
    rules: Rules | None = None, *, port: int = 0, key: str = KEY, seed: int = 0
) -> AsyncIterator[FakeMistral]:
    """Run a fake on a free port of loopback, or on this one, while the context is open."""
    fake = FakeMistral(rules or Rules(), key, seed)
    # Without cancellation nobody would learn that a client has gone.
    runner = web.AppRunner(
        app_of(fake), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        fake.url = fake.ocr.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()
        await fake.jobs.clear()
        await fake.ocr.close()
