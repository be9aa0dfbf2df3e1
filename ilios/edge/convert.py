"""Converting a document while the client waits: the flow of every submission, and its end."""

import asyncio
from contextlib import AsyncExitStack

import msgspec
import structlog
from aiohttp import web

from ilios.edge import (
    accept,
    connection,
    content,
    documents,
    lookup,
    preferences,
    publishing,
    responses,
)
from ilios.edge.content import FormatName
from ilios.edge.context import EDGE, SHUTTING_DOWN, Edge, Outcome
from ilios.edge.documents import UploadQuery
from ilios.edge.errors import (
    GONE,
    OTHER_CODES,
    SENDING_BLOB,
    SUBMITTING,
    HttpProblem,
)
from ilios.edge.hang_ups import HANG_UPS
from ilios.edge.operation import IDEMPOTENCY_KEY, Response, operation
from ilios.formats import DEFAULT_FORMAT
from ilios.formats.declaration import ChunkSize
from schemas.documents import IMMEDIATE_PRIORITY, DocumentSubmitted
from schemas.records import DocumentRecord
from schemas.requests import SubmitByUrl, SubmitFields
from schemas.states import REMOVED_STATES, UNFINISHED_STATES

log = structlog.get_logger("edge")


class ConvertFields(SubmitFields, frozen=True, kw_only=True, rename="camel"):
    """Fields of a document that is converted while the client waits."""

    format: FormatName = DEFAULT_FORMAT
    chunk_size: ChunkSize = None


class ConvertByUrl(SubmitByUrl, frozen=True, kw_only=True, rename="camel"):
    """A document that is fetched from a public address and converted while the client waits."""

    format: FormatName = DEFAULT_FORMAT
    chunk_size: ChunkSize = None


@operation(
    "POST",
    "/v1/convert",
    name="convert",
    tag=documents.TAG,
    summary="Convert a document and wait for its Markdown",
    description="The same as submitting, waiting and reading, in one request. When it takes too "
    "long the answer is 202, and the conversion goes on. A client that hangs up ends the waiting, "
    "not the conversion, unless it prefers that. The codes of a document that cannot be "
    "converted are the engine's: `corrupt`, `password_protected`, `password_incorrect`, "
    "`unsupported_type`, `timeout` and others.",
    parameters=(
        IDEMPOTENCY_KEY,
        preferences.describe(
            "`wait=SECONDS` answers 202 after that time if it is shorter than the service's own, "
            "`respond-async` at once. `cancel-on-disconnect` cancels the document when the client "
            "closes the connection before the answer, unless another request waits for it."
        ),
    ),
    query=UploadQuery,
    fields=ConvertFields,
    json=ConvertByUrl,
    body=documents.DOCUMENT_BODY,
    responses={
        200: Response(
            description=content.MARKDOWN_RESPONSE.description,
            content=content.MARKDOWN_RESPONSE.content,
            headers=(
                *content.MARKDOWN_RESPONSE.headers,
                "Idempotent-Replayed",
                preferences.APPLIED_HEADER,
            ),
        ),
        202: Response(
            description="It takes longer; ask again at `Location`.",
            content=content.UNFINISHED_RESPONSE.content,
            headers=(
                *content.UNFINISHED_RESPONSE.headers,
                "Idempotent-Replayed",
                preferences.APPLIED_HEADER,
            ),
        ),
    },
    problems=(*SUBMITTING, SENDING_BLOB, GONE, {422: (OTHER_CODES,)}),
)
async def convert(request: web.Request) -> web.StreamResponse:
    """Answer with the document in its format, or with 202 and a location when that takes too long.

    A document that cannot be converted is a 422 with the reason. A client that hangs up ends the
    waiting, and with ``Prefer: cancel-on-disconnect`` the conversion as well.
    """
    edge, wanted = request.app[EDGE], preferences.parse(request)
    within = wanted.wait_within(edge.limits.convert_timeout, edge.limits.convert_timeout)
    preferences.mark_applied(request, wanted, within)
    if wanted.cancel_on_disconnect:
        connection.end_with_client(request)
    received = await accept.receive_document(
        request, "convert-immediate", IMMEDIATE_PRIORITY, (ConvertFields, ConvertByUrl)
    )
    event = received.event
    async with AsyncExitStack() as stack:
        async with publishing.delete_unless_published(edge, event, received.blob_keys):
            output = content.parse_output(received.wanted.format, received.wanted)
            # Listening begins before the event is published, or a quick end would be missed. What
            # was submitted before under the same key may have another priority.
            priority = None if accept.parse_key(request) else event.priority
            outcome = await stack.enter_async_context(
                edge.outcomes.watch(event.tenant, event.document_id, priority)
            )
        waiting = stack.enter_context(
            request.app[HANG_UPS].waiting(request, event, cancels=wanted.cancel_on_disconnect)
        )
        accepted = await waiting.accept(
            accept.accept(request, event, received.blob_keys, received.passwords)
        )
        document = accepted.prior[0] if accepted.prior else lookup.pending_record(event)
        if document.state in UNFINISHED_STATES:
            # Of a repeated request: what the first one has begun.
            first_event = msgspec.structs.replace(event, submitted_at=document.submitted_at)
            closing = request.app[SHUTTING_DOWN]
            document = await wait_until_finished(edge, first_event, outcome, closing, within)
            if document.state in UNFINISHED_STATES:
                waiting.promise()
    if not is_readable(document):
        return responses.unfinished_response(document)
    return await content.send_document(request, document, output)


def is_readable(document: DocumentRecord) -> bool:
    """Whether a document that was waited for has a result; without one it is unfinished.

    :raises HttpProblem: it cannot be converted (422), or was removed (410).
    """
    if document.state in REMOVED_STATES:
        raise responses.gone_problem(document)
    if responses.has_failed(document):
        raise HttpProblem(
            422,
            document.code or "failed",
            document.reason or "The document could not be converted",
            details={"retryable": bool(document.retryable)},
            document_id=document.document_id,
        )
    return document.markdown is not None


async def wait_until_finished(
    edge: Edge,
    submitted: DocumentSubmitted,
    outcome: Outcome,
    closing: asyncio.Event,
    within: float | None = None,
) -> DocumentRecord:
    """Return the document as it is when it ends, when the time is up, or when the edge closes.

    ``within`` is in seconds; by default it is ``Limits.convert_timeout``.
    """
    event_task = asyncio.ensure_future(outcome.wait())
    shutdown_task = asyncio.ensure_future(closing.wait())
    poll_task = asyncio.ensure_future(_poll_until_finished(edge, submitted))
    try:
        await asyncio.wait(
            (event_task, shutdown_task, poll_task),
            timeout=edge.limits.convert_timeout if within is None else within,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if event_task.done():
            return lookup.finished_record(lookup.pending_record(submitted), event_task.result())
        return poll_task.result() if poll_task.done() else lookup.pending_record(submitted)
    finally:
        for task in (event_task, shutdown_task, poll_task):
            task.cancel()


async def _poll_until_finished(edge: Edge, submitted: DocumentSubmitted) -> DocumentRecord:
    """Read the database at intervals: the event can be missed while the bus reconnects."""
    while True:
        await asyncio.sleep(edge.limits.poll_interval)
        try:
            document = await edge.reads.document(submitted.tenant, submitted.document_id)
        except Exception as error:  # noqa: BLE001  # the next time may go well, and the event count
            log.warning("waiter could not read", error=repr(error))
            continue
        if document is not None and document.state not in UNFINISHED_STATES:
            return document
