"""Tickets for streams of events: for browsers, whose ``EventSource`` cannot send a key.

A ticket is for one stream of one tenant and for a few minutes, so that it may be in a URL.
"""

import time
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from ilios.edge import requests
from ilios.edge.context import TENANT
from ilios.edge.errors import AUTHENTICATING, READING_JSON, HttpProblem
from ilios.edge.events.effects import BATCH, DOCUMENT
from ilios.edge.events.sealing import SEALER, Scope
from ilios.edge.operation import JSON, RequestBody, Response, operation
from ilios.edge.responses import json_response
from ilios.edge.usage import NO_STORE
from schemas.event_replies import EventTicket
from schemas.ids import is_id
from schemas.replies import format_instant

LIFETIME = 300
"""Seconds in which a stream can be opened or resumed with a ticket."""
TENANT_SCOPE = "tenant"
TAG = "Events"
PATHS = {
    DOCUMENT: "/v1/documents/{id}/events",
    BATCH: "/v1/batch/{id}/events",
    TENANT_SCOPE: "/v1/events",
}
"""The streams, by the kind of what they are about."""

_CONTEXT = b"ticket"
_now = time.time
_ID: dict[str, Any] = {"pattern": "^[a-z0-9]{20,30}$"}


class TicketWanted(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The stream a ticket is for: of a document, of a batch, or of everything without either."""

    document_id: Annotated[
        str | None, Meta(extra={"expected": "the id of a document"}, extra_json_schema=_ID)
    ] = None
    batch_id: Annotated[
        str | None, Meta(extra={"expected": "the id of a batch"}, extra_json_schema=_ID)
    ] = None


class _Ticket(Struct, frozen=True, array_like=True):
    scope: Scope
    expires_at: int


@operation(
    "POST",
    "/v1/events/ticket",
    name="eventTicket",
    tag=TAG,
    summary="A ticket for a stream of events",
    description="For browsers, whose `EventSource` sends no key: the URL of one stream, which can "
    "be opened for five minutes. What is open stays so.",
    json=TicketWanted,
    body=RequestBody(description="The stream; `{}` for everything.", content={}),
    responses={
        200: Response(
            description="The ticket.", content={JSON: EventTicket}, headers=("Cache-Control",)
        )
    },
    problems=(AUTHENTICATING, READING_JSON),
)
async def ticket(request: web.Request) -> web.StreamResponse:
    """Answer with a ticket for a stream of the tenant, whether or not it exists."""
    wanted = requests.parse_json(TicketWanted, await requests.read_json_object(request))
    scope = _scope(request[TENANT], wanted)
    expires_at = int(_now()) + LIFETIME
    made = request.app[SEALER].seal(msgspec.json.encode(_Ticket(scope, expires_at)), _CONTEXT)
    path = PATHS[scope.kind].replace("{id}", scope.name)
    body = EventTicket(
        ticket=made,
        url=f"{path}?ticket={quote(made)}",
        expires_at=format_instant(datetime.fromtimestamp(expires_at, UTC)),
    )
    return json_response(body, headers=NO_STORE)


def ticket_tenant(request: web.Request) -> str | None:
    """Return the tenant of the ticket in the query; None for a request without one.

    :raises HttpProblem: it is not for this stream, or has expired (401).
    """
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    kind = next((kind for kind, of_kind in PATHS.items() if of_kind == path), None)
    given = request.query.get("ticket")
    if kind is None or not given:
        return None
    plain = request.app[SEALER].open(given, _CONTEXT)
    if plain is None:
        raise _refused("ticket_invalid", "The ticket is not valid")
    found = msgspec.json.decode(plain, type=_Ticket)
    if (found.scope.kind, found.scope.name) != (kind, request.match_info.get("id", "")):
        raise _refused("ticket_invalid", "The ticket is for another stream")
    if _now() >= found.expires_at:
        raise _refused("ticket_expired", "The ticket has expired; ask for another one")
    return found.scope.tenant


def _scope(tenant: str, wanted: TicketWanted) -> Scope:
    for name, code, member in (
        (wanted.document_id, "invalid_document_id", "documentId"),
        (wanted.batch_id, "invalid_batch_id", "batchId"),
    ):
        if name is not None and not is_id(name):
            raise HttpProblem(400, code, f"{member} must be the id of a document or a batch")
    if wanted.document_id is not None and wanted.batch_id is not None:
        raise HttpProblem(
            400, "invalid_batch_id", "A ticket is for a document or for a batch, not for both"
        )
    if wanted.document_id is not None:
        return Scope(tenant, DOCUMENT, wanted.document_id)
    if wanted.batch_id is not None:
        return Scope(tenant, BATCH, wanted.batch_id)
    return Scope(tenant, TENANT_SCOPE)


def _refused(code: str, error: str) -> HttpProblem:
    return HttpProblem(401, code, error, headers={"WWW-Authenticate": "Bearer"})
