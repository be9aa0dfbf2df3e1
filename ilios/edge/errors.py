"""How the edge says no: problem+json (RFC 9457), with nothing of the inside in it."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from actors.ports import StorageFull, StorageUnavailable
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from ilios.database.damage import DatabaseDamaged
from ilios.edge.keys import REQUEST_ID
from schemas.replies import Problem

RETRY_AFTER = "2"  # seconds; a local bus that died is back in less
STORE_AFTER = "5"  # seconds; a store at the other end of a network
REBUILT_AFTER = "60"  # seconds; somebody has to see to it
ROOM_AFTER = "10"  # seconds; somebody has to make room, and then it takes no longer than that

log = structlog.get_logger("edge")


class HeaderTooSlow(HttpProcessingError):
    """The header of a request did not come in time."""


class Refused(Exception):
    """A request that is answered with a problem.

    ``error`` is the sentence the contract of the route gives, ``detail`` a longer one where it
    helps; ``code`` is stable. ``members`` stand beside ``error``, where the contract has them.
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


def not_ready() -> Refused:
    """Return the answer to everything while the service starts, or must not be believed."""
    return Refused(
        503,
        "not_ready",
        "The service is not ready; see /readyz for the reason",
        headers={"Retry-After": STORE_AFTER},
    )


def document_not_found() -> Refused:
    """Return the one answer for unknown documents and other tenants' documents alike."""
    return Refused(404, "document_not_found", "Document not found")


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem."""
    try:
        return await handler(request)
    except Refused as error:
        refused = error
    except (ConnectionError, web.HTTPSuccessful, web.HTTPRedirection):
        raise  # the client is gone, or there is no problem
    except Exception as error:  # noqa: BLE001  # nothing may reach the client as it is
        refused = explain(request, error)
    if request.writer.output_size > 0:
        # The answer has begun: breaking it off is the only way left to say that it is not whole.
        raise ConnectionResetError(refused.error)
    return problem(request, refused)


async def only_post(request: web.Request) -> web.StreamResponse:
    """Refuse every method but POST."""
    raise web.HTTPMethodNotAllowed(request.method, ["POST"])


def problem(request: web.BaseRequest, refused: Refused) -> web.Response:
    """Return the answer to a refused request."""
    body = Problem(
        title=HTTPStatus(refused.status).phrase,
        status=refused.status,
        detail=refused.detail,
        error=refused.error,
        code=refused.code,
        # The path alone: the query may hold a key.
        instance=request.path,
        request_id=request.get(REQUEST_ID, ""),
        details=refused.details,
        id=refused.document_id,
    )
    response = web.Response(
        status=refused.status,
        body=msgspec.json.encode(msgspec.to_builtins(body) | refused.members),
        content_type="application/problem+json",
        headers=refused.headers,
    )
    if not request.content.is_eof() or request.content.exception() is not None:
        # Nobody will read the rest of the body, so the connection cannot carry another request.
        response.force_close()
    return response


def explain(request: web.BaseRequest, error: BaseException) -> Refused:
    """Return what the client is told of ``error``; the log is told what the client is not."""
    match error:
        case BusUnavailable() | DatabaseDamaged() | StorageUnavailable() | BusFull():
            return _not_now(error)
        case EventTooLarge():
            return Refused(413, "event_too_large", "The request is too large")
        case HttpProcessingError() | web.RequestPayloadError():
            # The parser raises these inside the handler that reads the body.
            return _unread(error)
        case web.HTTPException():
            return _stock(request, error)
        case _:
            log.error("unexpected error", exc_info=error)
            return Refused(500, "internal_error", "The service failed; the request id names it")


def _not_now(error: BaseException) -> Refused:
    """Return what is told where the world is at fault, and what the log is told of it."""
    match error:
        case BusUnavailable():
            log.warning("bus unavailable", error=str(error))
            return Refused(
                503,
                "bus_unavailable",
                "The service cannot take requests at the moment",
                headers={"Retry-After": RETRY_AFTER},
            )
        case DatabaseDamaged():
            log.error("database damaged", error=str(error))
            return Refused(
                503,
                "database_damaged",
                "The database is damaged, and nothing is read from it until it is made anew",
                headers={"Retry-After": REBUILT_AFTER},
            )
        case StorageUnavailable() if not isinstance(error, StorageFull):
            log.warning("storage unavailable", error=str(error))
            return Refused(
                503,
                "storage_unavailable",
                "The documents cannot be reached at the moment",
                headers={"Retry-After": STORE_AFTER},
            )
        case _:
            log.error("storage full", error=repr(error))
            return Refused(
                507,
                "storage_full",
                "The service has no room left for documents",
                headers={"Retry-After": ROOM_AFTER},
            )


def _unread(error: BaseException) -> Refused:
    if isinstance(error, HeaderTooSlow):
        return Refused(408, "request_too_slow", "The request was sent too slowly")
    return Refused(400, "malformed_request", "The request is malformed")


def _stock(request: web.BaseRequest, error: web.HTTPException) -> Refused:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return Refused(
                405,
                "method_not_allowed",
                f"{request.method} is not allowed here",
                headers={"Allow": allowed},
            )
        case web.HTTPNotFound():
            return Refused(404, "route_not_found", "There is nothing at this address")
        case _:
            phrase = HTTPStatus(error.status).phrase
            return Refused(error.status, phrase.lower().replace(" ", "_"), phrase)
