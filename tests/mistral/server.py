"""The server of the fake: its routes and its middleware."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

from aiohttp import web

from tests.mistral import errors, responses
from tests.mistral.control import control_routes
from tests.mistral.document_reader import digest
from tests.mistral.errors import ApiError
from tests.mistral.faults import Endpoint, Fault
from tests.mistral.rules import Rules
from tests.mistral.state import FakeMistral

KEY = "the-key-of-the-fake"
MAX_BODY_BYTES = 200_000_000
"""Bytes of JSON: three documents of the size that is allowed, so that the limit is the fake's."""

SHUTDOWN = 0.1  # seconds for answers that are on their way when the fake is closed
CONTROL_PATHS = ("/_fake/", "/_files/")
"""Paths that need no key and never fail."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[], Awaitable[web.StreamResponse]]


class ApiMiddleware:
    """Checks the key, injects faults, and formats all errors as the API does."""

    def __init__(self, fake: FakeMistral) -> None:
        self._fake = fake

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, also after an error."""
        try:
            if request.path.startswith(CONTROL_PATHS):
                return await handler(request)
            return await self._answer(request, handler)
        except ApiError as error:
            return responses.error_response(error)
        except web.HTTPRequestEntityTooLarge:
            return responses.error_response(
                errors.too_large(request.content_length or 0, MAX_BODY_BYTES)
            )
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            return responses.error_response(ApiError(error.status, {"detail": error.reason}))

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        endpoint = cast("Endpoint", request.match_info.route.name or "unknown")
        self._fake.call_log.requests[endpoint] += 1
        self._check_key(request)
        if endpoint == "ocr":  # its faults depend on the document
            return await handler(request)
        work: Work = partial(handler, request)
        subject = self._subject(request)
        if endpoint == "files.upload":
            received = await self._fake.files_api.receive(request)
            subject = digest(received.content or b"")
            work = partial(self._fake.files_api.store, received)
        fault = self._fake.faults.pick(endpoint, subject)
        if fault is None:
            return await work()
        return await self._apply_fault(request, work, endpoint, fault)

    def _check_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise errors.unauthorized()
        if not hmac.compare_digest(key.encode(), self._fake.key.encode()):
            raise errors.unauthorized("Invalid API Key")

    async def _apply_fault(
        self, request: web.Request, work: Work, endpoint: Endpoint, fault: Fault
    ) -> web.StreamResponse:
        call_log = self._fake.call_log
        if fault.kind == "hang":
            call_log.record_fault(endpoint, fault.kind, done=False)
            await asyncio.Event().wait()  # the server cancels this when the client has gone
        if refusal := fault.error():
            call_log.record_fault(endpoint, fault.kind, done=False)
            async for _ in request.content.iter_any():
                pass  # to refuse before all has come would break the connection instead
            raise refusal
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        response = await work()
        call_log.record_fault(endpoint, fault.kind, done=True)
        if not fault.corrupts or not isinstance(response, web.Response):
            return response
        return await responses.corrupted_response(request, cast("bytes", response.body), fault)

    def _subject(self, request: web.Request) -> str:
        """Return what a request is about; ids are random, and would not repeat a run."""
        match request.match_info:
            case {"file_id": id_}:
                return self._fake.files.hash_of(id_)
            case {"job_id": id_}:
                return self._fake.jobs.hash_of(id_)
        return request.path


def make_app(fake: FakeMistral) -> web.Application:
    """Return the application; the name of a route is its endpoint in faults."""
    app = web.Application(
        client_max_size=MAX_BODY_BYTES, middlewares=[web.middleware(ApiMiddleware(fake))]
    )
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
            web.get("/_files/{file_id}", files.download_link),
            web.post("/v1/batch/jobs", batches.create, name="batch.create"),
            web.get("/v1/batch/jobs", batches.list, name="batch.list"),
            web.get("/v1/batch/jobs/{job_id}", batches.get, name="batch.get"),
            web.delete("/v1/batch/jobs/{job_id}", batches.delete, name="batch.delete"),
            web.post("/v1/batch/jobs/{job_id}/cancel", batches.cancel, name="batch.cancel"),
            *control_routes(fake),
        ]
    )
    return app


@asynccontextmanager
async def fake_mistral(rules: Rules | None = None, *, key: str = KEY) -> AsyncIterator[FakeMistral]:
    """Run a fake on a free port of loopback while the context is open."""
    fake = FakeMistral(rules or Rules(), key)
    # Cancellation is how a handler learns that its client has gone.
    runner = web.AppRunner(
        make_app(fake), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        fake.url = fake.ocr.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield fake
    finally:
        await runner.cleanup()
        await fake.jobs.close()
        await fake.ocr.close()
