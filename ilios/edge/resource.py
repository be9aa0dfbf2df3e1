"""The resource of a document for new clients: ``/v1/documents``.

It has the handlers of the older addresses, and other problems: a document that has failed or has
not ended is no fault of the service and no success, but a conflict (409), as a problem.
"""

import time
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ilios.edge import (
    content,
    documents,
    lookup,
    negotiation,
    preferences,
    requests,
    responses,
)
from ilios.edge.addresses import RESOURCE
from ilios.edge.context import EDGE, SHUTTING_DOWN, TENANT
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    GONE,
    READING_LOG,
    SENDING_BLOB,
    SUBMITTING,
    HttpProblem,
    Problems,
)
from ilios.edge.operation import (
    DOCUMENT_ID,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    JSON,
    RANGE,
    Parameter,
    Response,
    operation,
)
from ilios.edge.responses import Answer
from ilios.edge.waits import WaitQuery, wait_for_document
from ilios.formats import FORMATS
from ilios.formats.declaration import FormatOptions, Output
from schemas.records import DocumentRecord
from schemas.replies import DocumentStatus, Submitted
from schemas.requests import MAX_WAIT, SubmitByUrl, SubmitFields
from schemas.states import UNFINISHED_STATES

NOT_READABLE: Problems = {409: ("document_failed", "document_not_ready")}
"""What stands in the way of reading a document that has no result."""

UNREADABLE = {
    409: Response(
        description="It has failed, or has not ended, in which case `Retry-After` is there.",
        headers=("Retry-After",),
    )
}

ACCEPT = Parameter(
    name="Accept",
    location="header",
    description="The media type to answer with, where `format` is left out. Several may have "
    "weights, such as `application/json, text/*;q=0.5`; without it Markdown is sent.",
    schema={"type": "string", "examples": ["application/json"]},
)


class ContentQuery(FormatOptions, frozen=True, kw_only=True, rename="camel"):
    """The query of a document's content."""

    format: Annotated[
        str | None,
        Meta(
            description="What to answer with, whatever `Accept` has. `json` adds pages, model, "
            "sizes and tokens, and the details of each page. `text` and `html` are made of the "
            "Markdown, `chunks` are parts of it for retrieval.",
            extra={"code": "invalid_format"},
            extra_json_schema={"type": "string", "enum": list(FORMATS)},
        ),
    ] = None


@operation(
    "POST",
    "/v1/documents",
    name="createDocument",
    tag=documents.TAG,
    summary="Submit a document",
    description="202 means stored: the document is on disk and the log has its event.",
    parameters=(
        IDEMPOTENCY_KEY,
        preferences.describe(
            f"`wait=SECONDS`, up to {MAX_WAIT}, waits so long for the end of the document."
        ),
    ),
    query=documents.UploadQuery,
    fields=SubmitFields,
    json=SubmitByUrl,
    body=documents.DOCUMENT_BODY,
    responses={
        201: Response(
            description="The document is stored and has ended during the wait; `status` has how.",
            content={JSON: DocumentStatus},
            headers=("Location", "Idempotent-Replayed", preferences.APPLIED_HEADER),
        ),
        202: Response(
            description="The document is stored and will be converted.",
            content={JSON: Submitted},
            headers=(
                "Location",
                "Retry-After",
                "Idempotent-Replayed",
                preferences.APPLIED_HEADER,
            ),
        ),
    },
    problems=SUBMITTING,
)
async def submit(request: web.Request) -> web.StreamResponse:
    """Answer 202 when the document is stored and the log has its event.

    A client that prefers to wait gets 201 with the state, if the document has ended by then.
    """
    wanted = preferences.parse(request)
    seconds = wanted.wait_within(MAX_WAIT, default=0)
    event, accepted = await documents.accept_document(request)
    answer = documents.submitted_answer(event, accepted, RESOURCE)
    if seconds:
        document = accepted.prior[0] if accepted.prior else lookup.pending_record(event)
        began = time.monotonic()
        document = await wait_for_document(
            request.app[EDGE], document, seconds, request.app[SHUTTING_DOWN]
        )
        if document.state not in UNFINISHED_STATES:
            found = await responses.status_answer(request.app[EDGE], document, RESOURCE)
            place = {"Location": RESOURCE.state_of(document.document_id)}
            answer = Answer(201, found.reply, place)
        else:  # it may have been shorter: too many clients wait, or the service stops
            seconds = min(seconds, round(time.monotonic() - began))
    applied = preferences.Preferences(wait=wanted.wait, respond_async=wanted.respond_async)
    preferences.mark_applied(request, applied, seconds)
    return responses.answer_response(answer)


@operation(
    "GET",
    "/v1/documents/{id}",
    name="getDocument",
    tag=documents.TAG,
    summary="The state of a document",
    description="200 for failed, cancelled and deleted documents as well.",
    parameters=(DOCUMENT_ID,),
    query=WaitQuery,
    responses={
        200: Response(
            description="Its state. `Retry-After` is there until it has ended.",
            content={JSON: DocumentStatus},
            headers=("Retry-After",),
        )
    },
    problems=(AUTHENTICATING, FINDING_DOCUMENT, READING_LOG),
)
async def state(request: web.Request) -> web.StreamResponse:
    """Answer with the state of a document, with ``?wait=`` once it is final."""
    seconds = requests.parse_texts(WaitQuery, request.query).wait
    edge, closing = request.app[EDGE], request.app[SHUTTING_DOWN]
    document = await lookup.get_document_or_404(request)
    document = await wait_for_document(edge, document, seconds, closing)
    return responses.answer_response(await responses.status_answer(edge, document, RESOURCE))


@operation(
    "GET",
    "/v1/documents/{id}/content",
    name="getDocumentContent",
    tag=documents.TAG,
    summary="The Markdown of a document, or another format",
    description="The format is that of `format`, or else the one that fits `Accept` best. Ranges "
    "hold for the Markdown, not for the other formats.",
    parameters=(DOCUMENT_ID, ACCEPT, RANGE, IF_NONE_MATCH, IF_MATCH),
    query=ContentQuery,
    responses={
        status: msgspec.structs.replace(one, headers=(*one.headers, "Vary"))
        for status, one in content.SENDING_MARKDOWN.items()
    }
    | UNREADABLE,
    problems=(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        READING_LOG,
        {406: ("not_acceptable",)},
        NOT_READABLE,
        GONE,
        SENDING_BLOB,
        content.NO_RANGE,
    ),
)
async def read_content(request: web.Request) -> web.StreamResponse:
    """Answer with a completed document in the format that the client wants."""
    output = _wanted_output(request)
    document = await lookup.get_document_or_404(request)
    content.raise_if_removed(document)
    if document.markdown is None:
        raise unreadable_problem(document)
    return await content.send_document(request, document, output, RESOURCE, negotiation.VARY)


@operation(
    "GET",
    "/v1/documents/{id}/original",
    name="getDocumentOriginal",
    tag=documents.TAG,
    summary="The document as it was submitted",
    description="A document that is yet to be fetched from its address has no original.",
    parameters=(DOCUMENT_ID, RANGE, IF_NONE_MATCH, IF_MATCH),
    responses=content.SENDING_ORIGINAL | UNREADABLE,
    problems=(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        content.FINDING_ORIGINAL,
        READING_LOG,
        NOT_READABLE,
        GONE,
        SENDING_BLOB,
        content.NO_RANGE,
    ),
)
async def read_original(request: web.Request) -> web.StreamResponse:
    """Answer with the bytes as they were submitted."""
    document = await lookup.get_document_or_404(request)
    content.raise_if_removed(document)
    blob = await lookup.find_original(request.app[EDGE], document)
    if blob is None:
        content.raise_if_imported_without(document)
        raise unreadable_problem(document)
    return await content.send_original(request, document, blob)


async def _remove(request: web.Request) -> web.StreamResponse:
    """Answer with the receipt."""
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    answer = await documents.remove(edge, tenant, document_id, RESOURCE)
    return responses.answer_response(answer)


remove = msgspec.structs.replace(
    documents.delete, path="/v1/documents/{id}", name="removeDocument", handler=_remove
)
"""Deletes a document, or cancels its conversion, at its own address."""


def _wanted_output(request: web.Request) -> Output:
    """Return the output format of a request. Errors as ``content.parse_output``, or 406."""
    wanted = requests.parse_texts(ContentQuery, request.query)
    name = wanted.format or negotiation.accepted_format(request)
    return content.parse_output(name, wanted)


def unreadable_problem(document: DocumentRecord) -> HttpProblem:
    """Return the problem of a document that lacks what was asked for."""
    if responses.has_failed(document):
        return responses.failed_problem(document)
    return responses.unfinished_problem(document, RESOURCE)
