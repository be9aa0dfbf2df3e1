"""A proxy in front of S3 that injects faults."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
from aiohttp import web
from yarl import URL

CHUNK_BYTES = 64 * 1024
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}

Interceptor = Callable[[web.Request], web.Response | None]
"""Answers a request in the place of S3, or lets it pass."""


class FaultProxy:
    """Forwards requests unchanged while no trouble is set.

    ``trouble`` answers in the place of S3. Of the bodies S3 answers with, the next ``cuts`` are cut
    off after ``cut_after`` bytes, and in the next ``spoils`` a bit is turned over. With ``pace``
    each body is passed on so many bytes a second. While ``hold`` is cleared nothing is answered.
    ``seen`` counts the requests by their methods.
    """

    def __init__(self, origin: str, client: aiohttp.ClientSession) -> None:
        self._origin = origin
        self._client = client
        self._site: web.TCPSite | None = None
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.1)
        self._port = 0
        self.intercept: Interceptor = lambda _: None
        self.truncations = 0
        self.truncate_after = 0
        self.truncated = 0
        self.corruptions = 0
        self.bytes_per_second: float | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.request_counts: Counter[str] = Counter()

    @classmethod
    @asynccontextmanager
    async def in_front_of(cls, origin: str) -> AsyncIterator[Self]:
        """Run a proxy in front of the server at ``origin``."""
        async with aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
        ) as client:
            proxy = cls(origin, client)
            await proxy._runner.setup()
            await proxy.start_listening()
            try:
                yield proxy
            finally:
                await proxy._runner.cleanup()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start_listening(self) -> None:
        """Listen again."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def stop_listening(self) -> None:
        """Stop listening, and abort the requests in progress."""
        assert self._site is not None
        await self._site.stop()
        server = self._runner.server
        assert server is not None
        for connection in list(server.connections):
            connection.force_close()
            if connection.transport is not None:
                connection.transport.abort()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=2**40)
        app.router.add_route("*", "/{path:.*}", self._forward)
        return app

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        self.request_counts[request.method] += 1
        if (answer := self.intercept(request)) is not None:
            return answer
        await self.may_answer.wait()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with self._client.request(
            request.method,
            URL(f"{self._origin}{request.raw_path}", encoded=True),
            headers=headers,
            data=self._throttled(request.content) if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answered:
            response = web.StreamResponse(status=answered.status, reason=answered.reason)
            for name, value in answered.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            await self._forward_response(request, answered, response)
            return response

    async def _forward_response(
        self,
        request: web.Request,
        answered: aiohttp.ClientResponse,
        response: web.StreamResponse,
    ) -> None:
        passed = 0
        async for chunk in self._throttled(answered.content):
            if (
                self.truncations
                and request.method == "GET"
                and passed + len(chunk) > self.truncate_after
            ):
                self.truncations -= 1
                self.truncated += 1
                await response.write(chunk[: self.truncate_after - passed])
                assert request.transport is not None
                request.transport.close()
                return
            if self.corruptions and request.method == "GET":
                self.corruptions -= 1
                chunk = bytes([chunk[0] ^ 1]) + chunk[1:]  # noqa: PLW2901  # as a bad cable does
            await response.write(chunk)
            passed += len(chunk)

    async def _throttled(self, body: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        while chunk := await body.read(CHUNK_BYTES if self.bytes_per_second is None else 4096):
            if self.bytes_per_second is not None:
                await asyncio.sleep(len(chunk) / self.bytes_per_second)
            yield chunk


def failing_with(status: int, code: str, *methods: str) -> Interceptor:
    """Answer requests of these methods, or of any, with an error of S3."""

    def answer(request: web.Request) -> web.Response | None:
        if methods and request.method not in methods:
            return None
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
        return web.Response(status=status, text=body, content_type="application/xml")

    return answer
