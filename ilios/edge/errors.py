"""Errors as problem+json (RFC 9457), without internal details, and the list of their codes."""

from collections.abc import Mapping
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
        case HttpProcessingError() | web.RequestPayloadError():
            # The parser raises these inside the handler that reads the body.
            return HttpProblem(400, "malformed_request", "The request is malformed")
        case web.HTTPException():
            return _from_aiohttp(request, error)
        case _:
            return operation_problem(error)


def operation_problem(error: BaseException) -> HttpProblem:
    """Return the problem for an exception of an operation, whichever way it was asked for."""
    match error:
        case BusUnavailable() | DatabaseDamaged() | StorageUnavailable() | BusFull():
            return _unavailable(error)
        case EventTooLarge():
            return HttpProblem(413, "event_too_large", "The request is too large")
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


Problems = Mapping[int, tuple[str, ...]]
"""The codes an operation may refuse with, by status; ``CODES`` explains them."""


OTHER_CODES = "*"
"""Stands for codes that are in no list, such as those of engines."""

CODES = {
    OTHER_CODES: "Any other code is the reason why the document cannot be converted.",
    "archive_refused": "A ZIP archive is damaged, protected, or unpacks to too much.",
    "batch_not_found": "No batch has this id, or it is somebody else's.",
    "batch_not_ready": "The batch is still under way; `details` have its progress.",
    "bus_unavailable": "The log does not answer; try again in a moment.",
    "content_damaged": "What is stored is not what was stored.",
    "content_gone": "The bytes are no longer stored.",
    "database_damaged": "The database is damaged; somebody has to see to it.",
    "document_cancelled": "The document was cancelled by its owner.",
    "document_deleted": "The document was deleted by its owner.",
    "document_expired": "The document has outlived its retention.",
    "document_failed": "The document could not be converted; `cause` and `reason` have why.",
    "document_not_ready": "The document is still being converted; `details` have its state.",
    "document_not_found": "No document has this id, or it is somebody else's.",
    "document_removed": "What was made under this `Idempotency-Key` was cancelled or deleted.",
    "empty_file": "The file has no bytes.",
    "encoding_unsupported": "The body, or a part of it, is compressed or encoded.",
    "engine_unavailable": "The service is not set up for the requested engine.",
    "event_too_large": "The log does not take a request of this size.",
    "expectation_failed": "`Expect` may only be `100-continue`.",
    "field_not_utf8": "A field of the form is not UTF-8.",
    "field_too_large": "A field of the form is larger than 64 KiB.",
    "file_too_large": "The file is larger than is accepted; `details` have the limit.",
    "idempotency_key_reused": "This `Idempotency-Key` was used for another request.",
    "host_not_allowed": "The `Host` is not one the service is reached by; see `detail`.",
    "image_not_found": "The document has no such image.",
    "internal_error": "The service failed; the request id names what is in its log.",
    "invalid_batch_id": "This is not the id of a batch, or there is a `documentId` as well.",
    "invalid_date": "A date is malformed, or the start is after the end.",
    "invalid_details": "`details` is neither `true` nor `false`.",
    "invalid_document_id": "This is not the form of an id.",
    "invalid_engine": "There is no such engine, or `useMistralBatch` is not for it.",
    "invalid_file_name": "`fileName` is not 1 to 255 characters.",
    "invalid_file_size": "`fileSize` is not a whole number of bytes, 1 or more.",
    "invalid_format": "There is no such format.",
    "invalid_id": "This is not the form of an id.",
    "invalid_idempotency_key": "The `Idempotency-Key` is not one.",
    "invalid_mime_type": "`mimeType` is not text of at most 255 characters.",
    "invalid_model": "This is not the name of a model, or not of the engine's.",
    "invalid_password": "The password is not text of 1 to 255 characters.",
    "invalid_priority": "The priority is not a whole number from 1 to 10.",
    "invalid_retention_days": "The retention is not a whole number from 1 to 3650.",
    "invalid_use_mistral_batch": "`useMistralBatch` is neither `true` nor `false`.",
    "json_expected": "The body is not `application/json`.",
    "malformed_json": "The body is not a JSON object, or has a member twice.",
    "malformed_request": "The request is not well formed.",
    "method_not_allowed": "The address is served, but not by this method; see `Allow`.",
    "missing_fields": "A member that must be there is not.",
    "nested_form": "The form holds another form.",
    "no_file": "There is no file in the request.",
    "not_acceptable": "The answer has no media type of `Accept`; `details` name those it has.",
    "not_ready": "The service is starting, or a part of it is gone; see `/readyz`.",
    "origin_not_allowed": "A page of another origin may not have documents fetched; see `detail`.",
    "original_not_found": "The document was imported without its original.",
    "overloaded": "There are too many clients or uploads at once; try again in a moment.",
    "password_in_query": "A password is in the query; send it in the body, and change it.",
    "precondition_failed": "It is not what `If-Match` names.",
    "range_not_satisfiable": "There is no such part of it.",
    "request_too_large": "The body is larger than it needs to be.",
    "request_too_slow": "The header of the request did not come in time.",
    "route_not_found": "There is nothing at this address.",
    "storage_full": "There is no room left for documents.",
    "storage_unavailable": "The documents cannot be reached; try again in a moment.",
    "ticket_expired": "The ticket is no longer valid; ask for another one.",
    "ticket_invalid": "The ticket was not made for this stream.",
    "too_many_files": "There are more files than are accepted in one request.",
    "too_many_listeners": "There are too many streams of events; see `Retry-After`.",
    "too_many_parts": "The form has too many parts.",
    "too_many_wrong_keys": "Too many wrong keys came from this address; see `Retry-After`.",
    "unauthorized": "The request has no API key, or an unknown one.",
    "unknown_field": "A field, a parameter or a member has no meaning here; `details` names it.",
    "unsupported_format": "There is no such format; `supportedFormats` names those there are.",
    "upload_completed": "The upload was confirmed already.",
    "upload_missing": "Nothing was uploaded.",
    "upload_size_differs": "What was uploaded does not have the size that was announced.",
    "upload_too_slow": "The client has sent too slowly.",
    "upload_url_expired": "The address is no longer valid; ask for another one.",
    "upload_url_invalid": "The address was not made by this service, or was changed.",
}
"""What each code means."""

AUTHENTICATING: Problems = {
    401: ("unauthorized",),
    429: ("too_many_wrong_keys",),
    500: ("internal_error",),
    503: ("database_damaged", "not_ready", "overloaded"),
}
"""What everything answers that needs a key."""

READING_LOG: Problems = {503: ("bus_unavailable",)}

FINDING_DOCUMENT: Problems = {400: ("invalid_id",), 404: ("document_not_found", "route_not_found")}

FINDING_BATCH: Problems = {400: ("invalid_id",), 404: ("batch_not_found", "route_not_found")}

GONE: Problems = {410: ("document_cancelled", "document_deleted", "document_expired")}

SENDING_BLOB: Problems = {
    410: ("content_gone",),
    412: ("precondition_failed",),
    500: ("content_damaged",),
    503: ("storage_unavailable",),
}
"""What stands in the way of answering with stored bytes."""

RECEIVING: Problems = {
    400: ("malformed_request", "empty_file", "file_too_large", "no_file"),
    408: ("upload_too_slow",),
    415: ("encoding_unsupported",),
    417: ("expectation_failed",),
    503: ("storage_unavailable",),
    507: ("storage_full",),
}
"""What stands in the way of an upload."""

FORM_PROBLEMS: Problems = {
    400: (
        "encoding_unsupported",
        "field_not_utf8",
        "field_too_large",
        "nested_form",
        "too_many_files",
        "too_many_parts",
    )
}

PUBLISHING: Problems = {413: ("event_too_large",), **READING_LOG, 507: ("storage_full",)}
"""What stands in the way of an event."""

SELECTING_ENGINE: Problems = {
    400: ("invalid_engine", "invalid_model"),
    422: ("engine_unavailable",),
}
"""What comes of asking for an engine."""

IDEMPOTENT: Problems = {
    400: ("invalid_idempotency_key",),
    410: ("document_removed",),
    422: ("idempotency_key_reused",),
}
"""What comes of an ``Idempotency-Key``."""


READING_JSON: Problems = {
    400: ("malformed_json",),
    413: ("request_too_large",),
    415: ("json_expected",),
}

BY_URL: Problems = {
    400: ("malformed_json",),
    403: ("host_not_allowed", "origin_not_allowed"),
    413: ("request_too_large",),
    415: ("encoding_unsupported",),
}
"""What stands in the way of documents that are named by their URL."""

SUBMITTING = (
    AUTHENTICATING,
    RECEIVING,
    FORM_PROBLEMS,
    PUBLISHING,
    IDEMPOTENT,
    SELECTING_ENGINE,
    BY_URL,
)
"""Problems of every operation that takes documents, as a form or by their URLs."""


def explain(code: str) -> str:
    """Return what a code means."""
    return CODES.get(code) or f"A value is wrong: `{code.removeprefix('invalid_')}`."


def merged(*problems: Problems) -> Problems:
    """Return all of them, the codes of each status once and in order."""
    statuses = sorted({status for some in problems for status in some})
    return {
        status: tuple(sorted({code for some in problems for code in some.get(status, ())}))
        for status in statuses
    }
