"""``POST /v1/convert``: the same flow as every submission, with somebody waiting at its end."""

from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from ilios.edge import documents, responses, submission, waiting
from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem
from schemas.documents import IMMEDIATE_PRIORITY


async def convert(request: web.Request) -> web.StreamResponse:
    """Answer with the Markdown, or with 202 and a location when that takes too long.

    A document that cannot be converted is its own fault: 422 with the reason. A client that hangs
    up ends the waiting, not the conversion.
    """
    edge = request.app[EDGE]
    received = await submission.receive_document(request, "convert-immediate", IMMEDIATE_PRIORITY)
    event = received.event
    async with AsyncExitStack() as stack:
        async with submission.delete_unless_published(edge, event, received.key):
            output_format = documents.parse_format(received.fields.get("format"))
            # Listening begins before the event is said, or a quick end would be missed.
            outcome = await stack.enter_async_context(
                edge.outcomes.watch(event.tenant, event.document_id)
            )
            document = await submission.publish(request, received)
        if document.state in waiting.UNFINISHED_STATES:
            # Of a repeated request: what the first one has begun.
            first_event = msgspec.structs.replace(event, submitted_at=document.submitted_at)
            document = await waiting.wait_until_finished(request, first_event, outcome)
    if document.state in responses.REMOVED_STATES:
        raise responses.gone_problem(document)
    if responses.has_failed(document):
        raise HttpProblem(
            422,
            document.code or "failed",
            document.reason or "The document could not be converted",
            details={"retryable": bool(document.retryable)},
            document_id=document.document_id,
        )
    if document.markdown is None:
        return responses.unfinished_response(document)
    return await documents.send_markdown(request, document, output_format)
