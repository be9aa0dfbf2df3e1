"""``POST /v1/convert``: the same flow as every submission, with somebody waiting at its end."""

from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from ilios.edge import answers, documents, submitting, waiting
from ilios.edge.errors import Refused
from ilios.edge.keys import EDGE
from schemas.documents import IMMEDIATE_PRIORITY


async def convert(request: web.Request) -> web.StreamResponse:
    """Answer with the Markdown, or with 202 and a location when that takes too long.

    A document that cannot be converted is its own fault: 422 with the reason. A client that hangs
    up ends the waiting, not the conversion.
    """
    edge = request.app[EDGE]
    received = await submitting.receive(request, "convert-immediate", IMMEDIATE_PRIORITY)
    event = received.event
    async with AsyncExitStack() as stack:
        async with submitting.kept_if_said(edge, event, received.key):
            form = documents.chosen_format(received.fields.get("format"))
            # Listening begins before the event is said, or a quick end would be missed.
            outcome = await stack.enter_async_context(
                edge.outcomes.watch(event.tenant, event.document_id)
            )
            document = await submitting.say(request, received)
        if document.state in waiting.UNFINISHED:
            # Of a repeated request: what the first one has begun.
            begun = msgspec.structs.replace(event, submitted_at=document.submitted_at)
            document = await waiting.wait_for_end(request, begun, outcome)
    if document.state in answers.REMOVED:
        raise answers.gone(document)
    if answers.has_failed(document):
        raise Refused(
            422,
            document.code or "failed",
            document.reason or "The document could not be converted",
            details={"retryable": bool(document.retryable)},
            document_id=document.document_id,
        )
    if document.markdown is None:
        return answers.unfinished(document)
    return await documents.send_markdown(request, document, form)
