"""Connections to one service: requests that are repeated while their failure is temporary."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from ilios.client.errors import (
    ClientError,
    Interrupted,
    ServiceProblem,
    UnexpectedAnswer,
    Unreachable,
)
from ilios.client.retries import TEMPORARY, Patience, Tries, parse_retry_after
from schemas.replies import Problem

CONNECT_TIMEOUT = 10.0
"""Seconds until the service has taken a connection."""
READ_TIMEOUT = 120.0
"""Seconds without a byte of an answer; the service waits for a state for a minute at most."""
MAX_PROBLEM_BYTES = 1024 * 1024
SHOWN_CHARACTERS = 200  # of an answer that is no problem
INTERRUPTED = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)
"""Errors of a connection that broke."""

Body = Callable[[], AbstractContextManager[aiohttp.FormData | bytes]]
"""Makes the body of one try."""

_T = TypeVar("_T")


class Connection:
    """One service and the key for it; connections are made when they are needed."""

    def __init__(self, server: str, key: str | None, patience: Patience, at_once: int) -> None:
        check_server(server)
        if key is not None:
            check_key(key)
        self.server = server.rstrip("/")
        self.patience = patience
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._at_once = at_once
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server!r})"

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        read_timeout: float = READ_TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request until it succeeds; its answer is open while the context is.

        Whatever is sent must be repeatable: a submission has an idempotency key.

        :raises ServiceProblem: the service refuses it.
        :raises Unreachable: there was no answer.
        """
        tries = Tries(self.patience)
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=read_timeout)
        while True:
            failure: ClientError
            with nullcontext() if body is None else body() as data:
                try:
                    response = await self._open_session().request(
                        method,
                        self.server + path,
                        params=query,
                        headers=headers,
                        data=data,
                        timeout=timeout,
                    )
                except INTERRUPTED as error:
                    failure, pause = self._unreachable(error), tries.next_pause()
                except aiohttp.ClientError as error:
                    raise UnexpectedAnswer(f"{self.server} does not speak HTTP: {error}") from error
                else:
                    async with response:
                        if response.status < 400:
                            yield response
                            return
                        problem = await self._read_problem(response)
                    failure, pause = problem, None
                    if problem.status in TEMPORARY and not _is_final(problem):
                        pause = tries.next_pause(problem.retry_after)
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    async def read(
        self,
        method: str,
        path: str,
        kind: type[_T],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> _T:
        """Send a request and return its answer. What is sent and raised is as in ``open``.

        :raises UnexpectedAnswer: it is of another kind.
        """

        async def once() -> bytes:
            async with self.open(method, path, query=query, headers=headers, body=body) as response:
                return b"".join([piece async for piece in pieces_of(response)])

        return decode(await self.repeat(once), kind)

    async def repeat(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat work whose answer breaks off, within the patience.

        :raises Interrupted: it broke off the last time as well.
        """
        tries = Tries(self.patience)
        while True:
            try:
                return await work()
            except Interrupted:
                if (pause := tries.next_pause()) is None:
                    raise
            await asyncio.sleep(pause)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=self._at_once),
                trust_env=True,
            )
        return self._session

    def _unreachable(self, error: BaseException) -> Unreachable:
        return Unreachable(f"{self.server} cannot be reached: {str(error) or 'it does not answer'}")

    async def _read_problem(self, response: aiohttp.ClientResponse) -> ServiceProblem:
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        try:
            body = await response.content.read(MAX_PROBLEM_BYTES)
            return ServiceProblem(msgspec.json.decode(body, type=Problem), retry_after)
        except (msgspec.DecodeError, *INTERRUPTED):
            # A proxy before the service answers in its own words.
            detail = f"{self.server} answered {response.status} {response.reason}"
            problem = Problem(
                title=response.reason or "",
                status=response.status,
                detail=detail,
                error=detail,
                code="no_problem_details",
                instance=response.url.path[:SHOWN_CHARACTERS],
                request_id="",
            )
            return ServiceProblem(problem, retry_after)


async def pieces_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield an answer as it arrives.

    :raises Interrupted: it broke off.
    """
    try:
        async for piece in response.content.iter_any():
            yield piece
    except INTERRUPTED as error:
        raise Interrupted(f"the answer broke off: {str(error) or 'nothing came'}") from error


def check_server(server: str) -> None:
    """Ensure that this is the address of a service.

    :raises ValueError: it is not.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ValueError(f"{server} is not the address of a service, such as https://host:1337")


def check_key(key: str) -> None:
    """Ensure that a key can be sent.

    :raises ValueError: it cannot.
    """
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError("the key must be printable ASCII characters, at least one")


def decode(body: bytes, kind: type[_T]) -> _T:
    """Return an answer in JSON.

    :raises UnexpectedAnswer: it is of another kind.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise UnexpectedAnswer(
            f"the answer is not what this version of the client expects: {error}"
        ) from error


def _is_final(problem: ServiceProblem) -> bool:
    """Whether an answer with a temporary status is about the document and not about the moment."""
    return problem.code == "content_damaged"
