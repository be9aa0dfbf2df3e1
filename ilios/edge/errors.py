"""Errors as problem+json (RFC 9457), without internal details."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from actors.ports import StorageFull, StorageUnavailable
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from ilios.database.sqlite import DatabaseDamaged
from ilios.edge.context import REQUEST_ID
from schemas.replies import Problem

RETRY_AFTER = "2"  # seconds; a local bus that died is restarted in less
STORAGE_RETRY_AFTER = "5"  # seconds; the store is at the other end of a network
DATABASE_RETRY_AFTER = "60"  # seconds; an operator has to repair it
DISK_RETRY_AFTER = "10"  # seconds; once there is room it takes no longer than that

PROBLEM_TYPE = "application/problem+json"
RESPONSE_STARTED = web.RequestKey("response_started", bool)
"""Set once a part of the response may have been sent."""

log = structlog.get_logger("edge")


class HttpProblem(Exception):
    """A request that is answered with a problem.

    ``error`` is the sentence of the route's contract, ``detail`` a longer one where that helps;
    ``code`` is stable. ``members`` are added beside ``error`` where the contract has them.
    """

    def __init__(
        self,
        status: int,
        code: str,
        error: str,
        *,
        detail: str | None = None,
        details: dict[str, Any] | None = None,
        members: dict[str, Any] | None = None,
        document_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.error = error
        self.detail = detail or error
        self.details = details
        self.members = members or {}
        self.document_id = document_id
        self.headers = headers or {}


def not_ready() -> HttpProblem:
    """Return the answer to everything while the service starts or a fault blocks it."""
    return HttpProblem(
        503,
        "not_ready",
        "The service is not ready; see /readyz for the reason",
        headers={"Retry-After": STORAGE_RETRY_AFTER},
    )


def document_not_found() -> HttpProblem:
    """Return the answer for unknown documents and for those of other tenants alike."""
    return HttpProblem(404, "document_not_found", "Document not found")


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions of handlers into problems."""
    try:
        return await handler(request)
    except HttpProblem as error:
        refused = error
    except (ConnectionError, web.HTTPSuccessful, web.HTTPRedirection):
        raise  # the client is gone, or there is no problem
    except Exception as error:  # noqa: BLE001  # nothing may reach the client as it is
        refused = to_problem(request, error)
    if RESPONSE_STARTED in request:
        # Only a broken connection can show that the answer is not whole.
        raise ConnectionResetError(refused.error)
    return problem_response(request, refused)


async def only_post(request: web.Request) -> web.StreamResponse:
    """Refuse every method but POST."""
    raise web.HTTPMethodNotAllowed(request.method, ["POST"])


def problem_response(request: web.BaseRequest, refused: HttpProblem) -> web.Response:
    """Return the response to a refused request."""
    response = web.Response(
        status=refused.status,
        # The path alone: the query may hold a key.
        body=problem_body(refused, request.path, request.get(REQUEST_ID, "")),
        content_type=PROBLEM_TYPE,
        headers=refused.headers,
    )
    if not request.content.is_eof() or request.content.exception() is not None:
        # Nobody will read the rest of the body, so the connection cannot carry another request.
        response.force_close()
    return response


def problem_body(refused: HttpProblem, instance: str, request_id: str) -> bytes:
    """Return a problem as JSON; ``instance`` is the path of the request."""
    body = Problem(
        title=HTTPStatus(refused.status).phrase,
        status=refused.status,
        detail=refused.detail,
        error=refused.error,
        code=refused.code,
        instance=instance,
        request_id=request_id,
        details=refused.details,
        id=refused.document_id,
    )
    return msgspec.json.encode(msgspec.to_builtins(body) | refused.members)


def to_problem(request: web.BaseRequest, error: BaseException) -> HttpProblem:
    """Return the problem for an exception; what the client must not see is logged."""
    match error:
        case BusUnavailable() | DatabaseDamaged() | StorageUnavailable() | BusFull():
            return _unavailable(error)
        case EventTooLarge():
            return HttpProblem(413, "event_too_large", "The request is too large")
        case HttpProcessingError() | web.RequestPayloadError():
            # The parser raises these inside the handler that reads the body.
            return HttpProblem(400, "malformed_request", "The request is malformed")
        case web.HTTPException():
            return _from_aiohttp(request, error)
        case _:
            log.error("unexpected error", exc_info=error)
            return HttpProblem(500, "internal_error", "The service failed; the request id names it")


def _unavailable(error: BaseException) -> HttpProblem:
    """Map infrastructure errors to 503 or 507, and log them."""
    match error:
        case BusUnavailable():
            log.warning("bus unavailable", error=str(error))
            return HttpProblem(
                503,
                "bus_unavailable",
                "The service cannot take requests at the moment",
                headers={"Retry-After": RETRY_AFTER},
            )
        case DatabaseDamaged():
            log.error("database damaged", error=str(error))
            return HttpProblem(
                503,
                "database_damaged",
                "The database is damaged, and nothing is read from it until it is rebuilt",
                headers={"Retry-After": DATABASE_RETRY_AFTER},
            )
        case StorageUnavailable() if not isinstance(error, StorageFull):
            log.warning("storage unavailable", error=str(error))
            return HttpProblem(
                503,
                "storage_unavailable",
                "The documents cannot be reached at the moment",
                headers={"Retry-After": STORAGE_RETRY_AFTER},
            )
        case _:
            log.error("storage full", error=repr(error))
            return HttpProblem(
                507,
                "storage_full",
                "The service has no room left for documents",
                headers={"Retry-After": DISK_RETRY_AFTER},
            )


def _from_aiohttp(request: web.BaseRequest, error: web.HTTPException) -> HttpProblem:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return HttpProblem(
                405,
                "method_not_allowed",
                f"{request.method} is not allowed here",
                headers={"Allow": allowed},
            )
        case web.HTTPNotFound():
            return HttpProblem(404, "route_not_found", "There is nothing at this address")
        case _:
            phrase = HTTPStatus(error.status).phrase
            return HttpProblem(error.status, phrase.lower().replace(" ", "_"), phrase)
