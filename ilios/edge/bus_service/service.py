"""The service on the bus: admits requests, and turns answers and problems into replies."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus

import msgspec
import structlog

from bus import subjects, tracing
from bus.connection import Connection
from bus.micro import MAX_REPLY_BYTES, Endpoint, Lane, Request, Service, ServiceReply
from ilios import __version__
from ilios.api_keys import tenant_of
from ilios.edge import accept, errors, middleware
from ilios.edge.bus_service.admission import OVERLOADED, Admission
from ilios.edge.bus_service.answers import BusAnswer, Call, Replayed, parse_members
from ilios.edge.bus_service.described import STATUS_HEADER
from ilios.edge.bus_service.operations import OPERATIONS, BusOperation
from ilios.edge.context import Edge
from ilios.edge.errors import HttpProblem
from ilios.edge.json_schemas import plain
from ilios.edge.publishing import HEADER as KEY_HEADER
from ilios.edge.requests import JSON_TYPE
from schemas.ids import DEFAULT_TENANT

NAME = "ilios"
DESCRIPTION = "Converts documents to Markdown."
MAX_LANES = 32
"""Connections for requests, beside one for ping, info and stats."""
REFUSALS_LOGGED_EVERY = 10.0  # seconds
OpenConnection = Callable[[], AbstractAsyncContextManager[Connection]]

DRAIN_TIMEOUT = 2.0
"""Seconds for the requests under way when the edge closes."""


def endpoint_name(operation: BusOperation) -> str:
    """Return the name of an endpoint, which may have no dots."""
    return operation.name.replace(".", "-")


_OPERATIONS = {endpoint_name(one): one for one in OPERATIONS}

log = structlog.get_logger("access")


@asynccontextmanager
async def serve_bus(
    edge: Edge, connect: OpenConnection, drain_timeout: float = DRAIN_TIMEOUT
) -> AsyncIterator[None]:
    """Answer requests on the bus while the context is open, by connections of its own.

    Each tenant has one, or shares one of many: one that sends more than is read loses its
    connection, and the others do not notice.

    Leaving hands new ones to other processes, answers waiting clients with a 202, and gives the
    requests that are under way ``drain_timeout`` seconds.

    :raises BusUnavailable: the bus is not connected.
    """
    door = BusDoor(edge)
    async with AsyncExitStack() as stack:
        service = Service(
            await stack.enter_async_context(connect()),
            door.handle,
            tuple(map(endpoint, OPERATIONS)),
            name=NAME,
            version=__version__,
            description=DESCRIPTION,
            metadata={"role": "edge", "schema": "/asyncapi.json"},
        )
        lanes = [
            Lane(await stack.enter_async_context(connect()), tenants)
            for tenants in _distributed(tenants_of(edge))
        ]
        await stack.enter_async_context(service.running(lanes, door.close, drain_timeout))
        yield


def tenants_of(edge: Edge) -> tuple[str, ...]:
    """Return the tenants of an edge."""
    return tuple(map(tenant_of, edge.api_keys)) or (DEFAULT_TENANT,)


def _distributed(tenants: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [part for first in range(MAX_LANES) if (part := tenants[first::MAX_LANES])]


def endpoint(operation: BusOperation) -> Endpoint:
    """Return the endpoint of an operation with the schemas of what it takes and answers."""
    subject = f"{subjects.API}.{operation.name}"
    schema = plain(msgspec.json.schema(operation.body))
    replies = [plain(msgspec.json.schema(kind)) for kind in operation.replies]
    metadata = {
        "subject": subject,
        "http": operation.http,
        "request_schema": msgspec.json.encode(schema).decode(),
        "response_schema": msgspec.json.encode({"anyOf": replies}).decode(),
    }
    return Endpoint(endpoint_name(operation), f"{subject}.*", metadata)


class BusDoor:
    """Answers the requests of all tenants."""

    def __init__(self, edge: Edge, admission: Admission | None = None) -> None:
        self._edge = edge
        self._tenants = frozenset(tenants_of(edge))
        self._refusals = 0
        self._refusals_logged_at = -REFUSALS_LOGGED_EVERY
        self._admission = admission or Admission(len(self._tenants))
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Answer clients that wait for a conversion."""
        self._closing.set()

    async def handle(self, request: Request) -> ServiceReply:
        """Answer a request; every exception is a problem."""
        began, request_id = time.perf_counter(), middleware.new_request_id()
        subject = f"{subjects.API}.{_OPERATIONS[request.operation].name}"
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                answering = self._answer(request)
                del request  # its body is in memory until it is parsed, and no longer
                answer: BusAnswer | HttpProblem = await answering
            except HttpProblem as problem:
                answer = problem
            except asyncio.CancelledError:
                answer = errors.not_ready()  # the edge closes, and the client waits
            except Exception as error:  # noqa: BLE001  # nothing may reach the client as it is
                answer = errors.operation_problem(error)
            reply = _reply(answer, subject, request_id)
            if isinstance(answer, HttpProblem) and answer.code == OVERLOADED:
                self._log_refusal()
            else:
                _log(subject, int(reply.headers[STATUS_HEADER]), time.perf_counter() - began)
        return reply

    def _log_refusal(self) -> None:
        """Log refusals together: a flood of requests must not be one of lines."""
        self._refusals += 1
        now = time.monotonic()
        if now - self._refusals_logged_at >= REFUSALS_LOGGED_EVERY:
            log.warning("requests refused, there are too many", refused=self._refusals)
            self._refusals, self._refusals_logged_at = 0, now

    async def _answer(self, request: Request) -> BusAnswer:
        operation, tenant = _OPERATIONS[request.operation], request.subject.rpartition(".")[2]
        if tenant not in self._tenants:
            error = "The subject does not end with a tenant of this service"
            raise HttpProblem(401, "unauthorized", error)
        if self._edge.faults.blocking is not None:
            raise errors.not_ready()
        keys = request.header_values(KEY_HEADER) if operation.makes else []
        key = accept.parse_key_values(keys)
        tracing.bind(request.header_values(tracing.HEADER))
        with self._admission.request(tenant), ExitStack() as body_counted:
            body = request.body
            body_counted.enter_context(self._admission.body(tenant, len(body)))
            async with self._admission.place(tenant):
                members = parse_members(body, tenant)
            del request, body
            place = partial(self._place, tenant, body_counted)
            call = Call(self._edge, tenant, members, key, self._closing, place, MAX_REPLY_BYTES)
            if operation.waits:
                answer = await operation.handler(call)
            else:
                async with place():
                    answer = await operation.handler(call)
        if operation.writes:
            self._edge.check_faults()
            if self._edge.faults.storage is not None:
                raise errors.not_ready()
        return answer

    @asynccontextmanager
    async def _place(self, tenant: str, body_counted: ExitStack) -> AsyncIterator[None]:
        async with self._admission.place(tenant):
            yield
        body_counted.close()


def _reply(answer: BusAnswer | HttpProblem, subject: str, request_id: str) -> ServiceReply:
    """Return an answer as a message; its headers are those of HTTP, and the status."""
    headers = {"X-Request-Id": request_id}
    if isinstance(answer, HttpProblem):
        headers |= {"Content-Type": errors.PROBLEM_TYPE, STATUS_HEADER: str(answer.status)}
        body = errors.problem_body(answer, subject, request_id)
        return ServiceReply(body, headers | answer.headers, answer.error, answer.status)
    if isinstance(answer, Replayed):
        headers["Idempotent-Replayed"] = "true"
        answer = answer.answer
    headers |= {"Content-Type": JSON_TYPE, STATUS_HEADER: str(answer.status), **answer.headers}
    error = HTTPStatus(answer.status).phrase if answer.status >= 400 else None
    return ServiceReply(answer.body, headers, error, answer.status)


def _log(subject: str, status: int, seconds: float) -> None:
    write = log.debug if status < 400 else log.info if status < 500 else log.warning
    write("request", subject=subject, status=status, milliseconds=round(seconds * 1000, 1))
