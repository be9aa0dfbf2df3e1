"""A service of the micro protocol (ADR-32): endpoints with a queue group, ping, info, and stats.

``nats.micro`` of nats-py 2.16 handles the requests of an endpoint one after another, counts no
error that is answered as one, answers unexpected errors with their text, and drops what waits when
it stops. So the protocol is spoken here.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import nats.errors
import structlog
from msgspec import Struct, field
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.streams import MAX_EVENT_BYTES

QUEUE = "q"
"""The queue group of all services: each request goes to one of the processes that serve it."""
ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
MAX_REPLY_BYTES = MAX_EVENT_BYTES - 16 * 1024
"""Most bytes of a reply: what a message may have, less its headers."""

DRAIN_TIMEOUT = 1.0
"""Seconds for the server to learn that further requests are for others."""
CANCELLED_TIMEOUT = 0.5
"""Seconds for the answers to requests that are broken off."""

_CONTROL = "$SRV"
_TYPE = "io.nats.micro.v1.{verb}_response"

log = structlog.get_logger("bus")


class Request(Struct, frozen=True):
    """A request; ``operation`` is the name of its endpoint."""

    operation: str
    subject: str
    body: bytes
    headers: Mapping[str, str]

    def header_values(self, name: str) -> list[str]:
        """Return the values of a header, whatever the case of its name."""
        return [value for key, value in self.headers.items() if key.lower() == name.lower()]


class ServiceReply(Struct, frozen=True):
    """The answer to a request. ``error`` is a sentence where it is one, ``code`` its number."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    code: int = 0


Handler = Callable[[Request], Awaitable[ServiceReply]]
"""Answers a request; called for many at once. It raises nothing, and answers when cancelled."""


class Endpoint(Struct, frozen=True):
    """One operation of a service, and what is shown of it. Its subject ends with ``*``."""

    name: str
    subject: str
    metadata: dict[str, str]


class Lane(Struct, frozen=True):
    """A connection for the requests whose subjects end with one of these tokens.

    The server disconnects who reads too slowly: a flood of requests is lost with its own lane.
    """

    connection: Connection
    tokens: tuple[str, ...]


class _Stats(Struct):
    """The counters of an endpoint; times are nanoseconds."""

    name: str
    subject: str
    queue_group: str = QUEUE
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0
    average_processing_time: int = 0


class Service:
    """A service with its endpoints; ``handle`` answers the requests of all of them.

    ``connection`` is that of ping, info and stats; these show what ``data`` returns, too.
    """

    def __init__(
        self,
        connection: Connection,
        handle: Handler,
        endpoints: tuple[Endpoint, ...],
        *,
        name: str,
        version: str,
        description: str,
        metadata: dict[str, str],
        data: Callable[[], object] | None = None,
    ) -> None:
        self._data = data
        self._connection = connection
        self._handle = handle
        self._endpoints = endpoints
        self._identity = {
            "name": name,
            "id": secrets.token_hex(12),
            "version": version,
            "metadata": metadata,
        }
        self._description = description
        self._started = datetime.now(UTC)
        self._stats = {one.name: _Stats(one.name, one.subject) for one in endpoints}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(
        self, lanes: Sequence[Lane], on_stop: Callable[[], None], within: float
    ) -> AsyncIterator[None]:
        """Serve while the context is open, requests by ``lanes``.

        Leaving hands new requests to other processes, calls ``on_stop``, and gives those under way
        ``within`` seconds.

        :raises BusUnavailable: the bus is not connected.
        """
        subscriptions: list[Subscription] = []
        try:
            try:
                for lane in lanes:
                    for endpoint in self._endpoints:
                        for token in lane.tokens:
                            subject = endpoint.subject.removesuffix("*") + token
                            made = await self._subscribe(lane.connection, endpoint, subject)
                            subscriptions.append(made)
                    await lane.connection.client.flush()
                for verb, answer in self._answers().items():
                    for subject in self._control_subjects(verb):
                        subscriptions.append(await self._subscribe_control(subject, answer))  # noqa: PERF401  # likewise
                await self._connection.client.flush()
            except (nats.errors.Error, OSError) as error:
                raise BusUnavailable(f"cannot subscribe: {error}") from error
            yield
        finally:
            await self._stop(subscriptions, on_stop, within)

    async def _stop(
        self, subscriptions: list[Subscription], on_stop: Callable[[], None], within: float
    ) -> None:
        # A drain ends when all that the server had sent before it learned of it has come.
        drains = (one.drain() for one in subscriptions)  # type: ignore[no-untyped-call]
        with suppress(nats.errors.Error, OSError, TimeoutError):  # the bus may be away
            async with asyncio.timeout(DRAIN_TIMEOUT):
                await asyncio.gather(*drains)
        on_stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)
        late = set(self._tasks)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCELLED_TIMEOUT)

    async def _subscribe(
        self, connection: Connection, endpoint: Endpoint, subject: str
    ) -> Subscription:
        def on_message(message: Msg) -> None:
            task = asyncio.create_task(self._answer(connection, endpoint, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return await connection.client.subscribe_directly(subject, on_message, queue=QUEUE)

    async def _answer(self, connection: Connection, endpoint: Endpoint, message: Msg) -> None:
        stats, began = self._stats[endpoint.name], time.perf_counter_ns()
        stats.num_requests += 1
        if not message.reply:
            # Nobody would learn what came of it.
            stats.num_errors += 1
            stats.last_error = "a request without a reply subject"
            return
        subject, reply_to = message.subject, message.reply
        request = Request(endpoint.name, subject, message.data, message.headers or {})
        del message  # or its body would stay in memory while a request waits
        answering = self._handle(request)
        del request
        reply = await answering
        headers = reply.headers
        if reply.error is not None:
            stats.num_errors += 1
            stats.last_error = f"{reply.code}: {header_text(reply.error)}"
            headers = headers | {
                ERROR_HEADER: header_text(reply.error),
                ERROR_CODE_HEADER: str(reply.code),
            }
        try:
            await connection.client.publish(reply_to, reply.body, headers=headers)
        except (nats.errors.Error, OSError) as error:
            log.warning("request not answered", subject=subject, error=repr(error))
        stats.processing_time += time.perf_counter_ns() - began
        stats.average_processing_time = stats.processing_time // stats.num_requests

    def _answers(self) -> dict[str, Callable[[], dict[str, Any]]]:
        return {"PING": dict, "INFO": self._info, "STATS": self._statistics}

    def _control_subjects(self, verb: str) -> tuple[str, ...]:
        kind = f"{_CONTROL}.{verb}.{self._identity['name']}"
        return f"{_CONTROL}.{verb}", kind, f"{kind}.{self._identity['id']}"

    async def _subscribe_control(
        self, subject: str, answer: Callable[[], dict[str, Any]]
    ) -> Subscription:
        client, verb = self._connection.client, subject.split(".")[1].lower()
        shown = {"type": _TYPE.format(verb=verb), **self._identity}

        def on_message(message: Msg) -> None:
            if message.reply:
                client.publish_soon(message.reply, msgspec.json.encode(shown | answer()))

        return await client.subscribe_directly(subject, on_message)

    def _info(self) -> dict[str, Any]:
        endpoints = [
            {
                "name": one.name,
                "subject": one.subject,
                "queue_group": QUEUE,
                "metadata": one.metadata,
            }
            for one in self._endpoints
        ]
        return {"description": self._description, "endpoints": endpoints}

    def _statistics(self) -> dict[str, Any]:
        endpoints = [msgspec.structs.asdict(one) for one in self._stats.values()]
        if self._data is not None:
            for one in endpoints:
                one["data"] = self._data()
        return {
            "started": self._started.isoformat().replace("+00:00", "Z"),
            "endpoints": endpoints,
        }


async def ask_all(connection: Connection, subject: str, within: float) -> list[bytes]:
    """Return the replies of everybody who answers a request within some seconds.

    :raises BusUnavailable: the bus is not connected.
    """
    client, found = connection.client, list[bytes]()
    inbox = client.new_inbox()

    def on_message(message: Msg) -> None:
        if not (message.headers or {}).get("Status"):  # that nobody listens
            found.append(message.data)

    try:
        subscription = await client.subscribe_directly(inbox, on_message)
        await client.publish(subject, b"", reply=inbox)
        await asyncio.sleep(within)
        await subscription.unsubscribe()
    except (nats.errors.Error, OSError) as error:
        raise BusUnavailable(f"no answers on {subject}: {error}") from error
    return found


def header_text(text: str) -> str:
    """Return a text as the value of a header: one line of printable ASCII."""
    return "".join(one if " " <= one <= "~" else "?" for one in text)[:300]
