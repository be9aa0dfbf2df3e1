"""Stands between the store and S3, and makes trouble."""

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

Trouble = Callable[[web.Request], web.Response | None]
"""Answers a request in the place of S3, or lets it pass."""


class FaultProxy:
    """Passes requests on, as they are, for as long as no trouble is set.

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
        self.trouble: Trouble = lambda _: None
        self.cuts = 0
        self.cut_after = 0
        self.cut = 0
        self.spoils = 0
        self.pace: float | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.seen: Counter[str] = Counter()

    @classmethod
    @asynccontextmanager
    async def before(cls, origin: str) -> AsyncIterator[Self]:
        """Run one before the server at ``origin``."""
        async with aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
        ) as client:
            proxy = cls(origin, client)
            await proxy._runner.setup()
            await proxy.accept()
            try:
                yield proxy
            finally:
                await proxy._runner.cleanup()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def accept(self) -> None:
        """Listen, again."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Listen no more, and break off what is under way."""
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
        app.router.add_route("*", "/{path:.*}", self._pass)
        return app

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        self.seen[request.method] += 1
        if (answer := self.trouble(request)) is not None:
            return answer
        await self.hold.wait()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with self._client.request(
            request.method,
            URL(f"{self._origin}{request.raw_path}", encoded=True),
            headers=headers,
            data=self._paced(request.content) if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answered:
            response = web.StreamResponse(status=answered.status, reason=answered.reason)
            for name, value in answered.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            await self._pass_back(request, answered, response)
            return response

    async def _pass_back(
        self,
        request: web.Request,
        answered: aiohttp.ClientResponse,
        response: web.StreamResponse,
    ) -> None:
        passed = 0
        async for chunk in self._paced(answered.content):
            if self.cuts and request.method == "GET" and passed + len(chunk) > self.cut_after:
                self.cuts -= 1
                self.cut += 1
                await response.write(chunk[: self.cut_after - passed])
                assert request.transport is not None
                request.transport.close()
                return
            if self.spoils and request.method == "GET":
                self.spoils -= 1
                chunk = bytes([chunk[0] ^ 1]) + chunk[1:]  # noqa: PLW2901  # as a bad cable does
            await response.write(chunk)
            passed += len(chunk)

    async def _paced(self, body: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        while chunk := await body.read(CHUNK_BYTES if self.pace is None else 4096):
            if self.pace is not None:
                await asyncio.sleep(len(chunk) / self.pace)
            yield chunk


def refusing(status: int, code: str, *methods: str) -> Trouble:
    """Answer like S3, with an error, what comes by these methods; by any, if there are none."""

    def answer(request: web.Request) -> web.Response | None:
        if methods and request.method not in methods:
            return None
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
        return web.Response(status=status, text=body, content_type="application/xml")

    return answer
