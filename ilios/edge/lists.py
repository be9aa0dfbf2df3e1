"""Lists of the documents and the batches of a tenant, by cursors."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct

from ilios.edge import batches, requests, responses, usage
from ilios.edge.addresses import RESOURCE
from ilios.edge.context import EDGE, TENANT
from ilios.edge.errors import AUTHENTICATING, HttpProblem
from ilios.edge.operation import ID_SCHEMA, JSON, Response, operation
from schemas.documents import FileName
from schemas.ids import is_id
from schemas.labels import MAX_REFERENCE_LENGTH, Reference
from schemas.list_replies import BatchList, DocumentList
from schemas.lists import BatchListRequest, DocumentListRequest, Order, Page, Place
from schemas.states import REMOVED_STATES, BatchState, DocumentState

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
_CURSOR_VERSION = 1

_DOCUMENT_STATES: tuple[DocumentState, ...] = get_args(DocumentState)
_BATCH_STATES: tuple[BatchState, ...] = get_args(BatchState)
_LISTED_STATES = tuple(state for state in _DOCUMENT_STATES if state not in REMOVED_STATES)
_MOMENT = "ISO 8601 with `Z` or an offset, or a date alone, which is"
_DATE = {"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}]}

_S = TypeVar("_S", bound=str)


class ListQuery(Struct, frozen=True, kw_only=True):
    """The query of every list."""

    since: Annotated[
        str | None,
        Meta(
            description=f"Submitted at this time or later. {_MOMENT} the begin of that day in UTC.",
            extra={"code": "invalid_date"},
            extra_json_schema=_DATE,
        ),
    ] = None
    until: Annotated[
        str | None,
        Meta(
            description=f"Submitted at this time or earlier. {_MOMENT} the end of that day.",
            extra={"code": "invalid_date"},
            extra_json_schema=_DATE,
        ),
    ] = None
    reference: Annotated[
        Reference | None,
        Meta(
            description="With exactly this `reference`.",
            extra={"expected": f"1 to {MAX_REFERENCE_LENGTH} printable characters"},
        ),
    ] = None
    order: Annotated[
        Order,
        Meta(description="By the time of submission: `desc`, the newest first, or `asc`."),
    ] = "desc"
    limit: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_LIMIT,
            description="How many items the answer has at most.",
            extra={"expected": f"a whole number from 1 to {MAX_LIMIT}"},
        ),
    ] = DEFAULT_LIMIT
    cursor: Annotated[
        Annotated[str, Meta(max_length=500)] | None,
        Meta(
            description="`next` of the answer before it, to the same filters and order.",
            extra={"expected": "`next` of an answer to the same list"},
        ),
    ] = None


class DocumentListQuery(ListQuery, frozen=True, kw_only=True):
    """The query of the list of documents."""

    state: Annotated[
        str | None,
        Meta(
            description="States, separated by commas or given several times, of "
            f"{', '.join(f'`{one}`' for one in _DOCUMENT_STATES)}; left out, all but "
            f"{' and '.join(f'`{one}`' for one in REMOVED_STATES)}.",
            extra={"code": ""},  # the handler reads it, given several times
            extra_json_schema={"examples": ["pending,processing"]},
        ),
    ] = None
    name: Annotated[
        FileName | None,
        Meta(
            description="A part of the name; upper and lower case of ASCII letters are the same.",
            extra={"expected": "1 to 255 characters"},
        ),
    ] = None
    batch: Annotated[
        str | None,
        Meta(
            description="The id of the batch they belong to.",
            extra={"expected": "the id of a batch"},
            extra_json_schema=ID_SCHEMA,
        ),
    ] = None


class BatchListQuery(ListQuery, frozen=True, kw_only=True):
    """The query of the list of batches."""

    state: Annotated[
        str | None,
        Meta(
            description="States, separated by commas or given several times, of "
            f"{', '.join(f'`{one}`' for one in _BATCH_STATES)}; left out, all.",
            extra={"code": ""},  # as above
            extra_json_schema={"examples": ["pending,processing"]},
        ),
    ] = None


_ORDER = (
    "A cursor neither repeats nor leaves out what exists throughout, also while documents are "
    "submitted and removed. What was accepted some milliseconds ago may not be in the list yet, "
    "while its status is there."
)


@operation(
    "GET",
    "/v1/documents",
    name="listDocuments",
    tag="Documents",
    summary="List documents in the order of their submission",
    description=_ORDER,
    query=DocumentListQuery,
    responses={200: Response(description="Their states.", content={JSON: DocumentList})},
    problems=(AUTHENTICATING, {400: ("invalid_state",)}),
)
async def list_documents(request: web.Request) -> web.StreamResponse:
    """Answer with a page of documents."""
    query = requests.parse_texts(DocumentListQuery, request.query)
    if query.batch is not None and not is_id(query.batch):
        raise HttpProblem(400, "invalid_batch", "batch must be the id of a batch")
    states = _states(request, _DOCUMENT_STATES) or _LISTED_STATES
    filters = (states, query.name, query.batch)
    found = await request.app[EDGE].lists.documents(
        DocumentListRequest(
            states=states, name=query.name, batch_id=query.batch, **_common(request, query, filters)
        )
    )
    body = DocumentList(
        documents=[responses.document_status(one, RESOURCE) for one in found.items],
        next=_next_cursor(query, filters, found),
    )
    return responses.json_response(body)


@operation(
    "GET",
    "/v1/batch",
    name="listBatches",
    tag=batches.TAG,
    summary="List batches in the order of their submission",
    description=_ORDER,
    query=BatchListQuery,
    responses={200: Response(description="Their progress.", content={JSON: BatchList})},
    problems=(AUTHENTICATING, {400: ("invalid_state",)}),
)
async def list_batches(request: web.Request) -> web.StreamResponse:
    """Answer with a page of batches."""
    query = requests.parse_texts(BatchListQuery, request.query)
    states = _states(request, _BATCH_STATES)
    found = await request.app[EDGE].lists.batches(
        BatchListRequest(states=states, **_common(request, query, (states,)))
    )
    body = BatchList(
        batches=[batches.batch_status(one) for one in found.items],
        next=_next_cursor(query, (states,), found),
    )
    return responses.json_response(body)


def _common(request: web.Request, query: ListQuery, filters: tuple[Any, ...]) -> dict[str, Any]:
    """Return what is the same in the requests of all lists."""
    since, until = usage.parse_range(query.since, query.until, ("since", "until"))
    return {
        "tenant": request[TENANT],
        "order": query.order,
        "since": since,
        "until": until,
        "reference": query.reference,
        "limit": query.limit,
        "after": None if query.cursor is None else _parse_cursor(query, filters),
    }


def _states(request: web.Request, known: tuple[_S, ...]) -> tuple[_S, ...]:
    """Return the states of the query in their order; none where it has none.

    :raises HttpProblem: one of them is none (400).
    """
    given = {one.strip() for text in request.query.getall("state", []) for one in text.split(",")}
    given.discard("")
    if not given.issubset(known):
        raise HttpProblem(400, "invalid_state", f"state must be of {', '.join(known)}")
    return tuple(state for state in known if state in given)


def _digest(query: ListQuery, filters: Iterable[Any]) -> str:
    """Return what distinguishes a list from others: a cursor is a place in one of them."""
    chosen = (query.order, query.since, query.until, query.reference, *filters)
    return hashlib.sha256(msgspec.json.encode(chosen)).hexdigest()[:16]


def _next_cursor(
    query: ListQuery, filters: Iterable[Any], page: Page[Any]
) -> str | msgspec.UnsetType:
    if page.next is None:
        return UNSET
    text = msgspec.json.encode((_CURSOR_VERSION, _digest(query, filters), page.next))
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _parse_cursor(query: ListQuery, filters: Iterable[Any]) -> Place:
    """Return the place that a cursor stands for.

    :raises HttpProblem: it is none, or one of another list (400).
    """
    text = query.cursor or ""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, digest, place = msgspec.json.decode(decoded, type=tuple[int, str, Place])
    except ValueError:  # of base64 and msgspec alike
        version, digest, place = 0, "", Place(0, "")
    if version != _CURSOR_VERSION or digest != _digest(query, filters) or not is_id(place.id):
        raise HttpProblem(
            400,
            "invalid_cursor",
            "cursor must be next of an answer to the same list: with the same filters and order",
        )
    return place
