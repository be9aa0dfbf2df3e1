"""The operations of the service on the bus, each the equal of one of HTTP."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec
from msgspec import Struct

from ilios.edge import (
    batches,
    content,
    convert,
    documents,
    lookup,
    publishing,
    requests,
    resource,
    responses,
    usage,
)
from ilios.edge.addresses import LEGACY, RESOURCE
from ilios.edge.bus_service.answers import BusAnswer, Call, Replayed
from ilios.edge.bus_service.pages import read_pages
from ilios.edge.bus_service.results import (
    ConvertDocument,
    ReadResult,
    Room,
    parse_wanted,
    read_result,
)
from ilios.edge.bus_service.submissions import accept_submission, receive_batch, receive_document
from ilios.edge.publishing import Accepted
from ilios.edge.waits import wait_for_batch, wait_for_document
from schemas import replies, usage_replies
from schemas.batches import BatchSubmitted
from schemas.bus_requests import (
    BatchReference,
    DocumentReference,
    DocumentStatusRequest,
    PagesRequest,
    SubmitBatch,
    SubmitDocument,
    UsageRequest,
)
from schemas.documents import DEFAULT_PRIORITY, IMMEDIATE_PRIORITY, DocumentSubmitted
from schemas.pages import DocumentPages
from schemas.records import DocumentRecord
from schemas.states import UNFINISHED_STATES

Handler = Callable[[Call], Awaitable[BusAnswer]]


class BusOperation(Struct, frozen=True):
    """One operation. ``name`` ends its subject, and ``http`` is its equal, for readers.

    ``replies`` are what it answers with beside a problem; one with ``content`` also answers with
    the content of a document. One that ``makes`` something takes an idempotency key; one that
    ``waits`` enters ``Call.place`` by itself.
    """

    name: str
    summary: str
    body: type[Struct]
    replies: tuple[type[Struct], ...]
    http: str
    handler: Handler
    content: bool = False
    writes: bool = False
    makes: bool = False
    waits: bool = False


async def submit(call: Call) -> BusAnswer:
    """Answer 202 when the document is stored and the log has its event."""
    submission, _ = await receive_document(call, SubmitDocument, "convert", DEFAULT_PRIORITY)
    accepted = await accept_submission(call, submission)
    assert isinstance(submission.event, DocumentSubmitted)
    return _marked(accepted, documents.submitted_answer(submission.event, accepted, RESOURCE))


async def convert_document(call: Call) -> BusAnswer:
    """Answer with the document in its format, or 202 when that takes too long."""
    edge = call.edge
    async with AsyncExitStack() as stack:
        async with call.place():
            submission, wanted = await receive_document(
                call, ConvertDocument, "convert-immediate", IMMEDIATE_PRIORITY
            )
            event = submission.event
            assert isinstance(event, DocumentSubmitted)
            assert isinstance(wanted, ConvertDocument)
            async with publishing.delete_unless_published(edge, event, submission.blob_keys):
                output = parse_wanted(wanted)
                # Before the event is published, or a quick end would be missed.
                priority = None if event.fingerprint else event.priority
                outcome = await stack.enter_async_context(
                    edge.outcomes.watch(event.tenant, event.document_id, priority)
                )
            # With HTTP's, under the same key: a client that hangs up there does not cancel it.
            ref = event.tenant, event.document_id
            waited = stack.enter_context(edge.waited.waiting(ref))
            accepted = await accept_submission(call, submission)
            waited.goes_on = True
        del submission, wanted
        call.members.clear()  # the bytes may be among them, and it waits for long
        document = accepted.prior[0] if accepted.prior else lookup.pending_record(event)
        if document.state in UNFINISHED_STATES:
            first_event = msgspec.structs.replace(event, submitted_at=document.submitted_at)
            document = await convert.wait_until_finished(edge, first_event, outcome, call.closing)
    if not convert.is_readable(document):
        return _marked(accepted, responses.unfinished_answer(document))
    async with call.place():
        # With the addresses of /v1/convert.
        found = await read_result(edge, document, output, Room(call.max_bytes), LEGACY)
        return _marked(accepted, found)


async def cancel(call: Call) -> BusAnswer:
    """Answer with the receipt of a document that is removed."""
    wanted = requests.parse_json(DocumentReference, call.members)
    return await documents.remove(call.edge, call.tenant, wanted.document_id, RESOURCE)


async def status(call: Call) -> BusAnswer:
    """Answer with the state of a document, when it has ended or time is up."""
    async with call.place():
        wanted = requests.parse_json(DocumentStatusRequest, call.members)
        document = await _document(call, wanted)
    document = await wait_for_document(call.edge, document, wanted.wait, call.closing)
    async with call.place():
        return await responses.status_answer(call.edge, document, RESOURCE)


async def result(call: Call) -> BusAnswer:
    """Answer with a document in a format, as soon as it is converted."""
    wanted = requests.parse_json(ReadResult, call.members)
    output = parse_wanted(wanted)
    document = await _document(call, wanted)
    content.raise_if_removed(document)
    if document.markdown is None:
        raise resource.unreadable_problem(document)
    room = Room(call.max_bytes, wanted.offset)
    return await read_result(call.edge, document, output, room, RESOURCE)


async def submit_batch(call: Call) -> BusAnswer:
    """Answer 202 when every document is stored and the log has the batch."""
    submission = await receive_batch(call)
    accepted = await accept_submission(call, submission)
    assert isinstance(submission.event, BatchSubmitted)
    answer = batches.accepted_answer(submission.event, accepted.submitted_at)
    return _marked(accepted, answer)


async def pages(call: Call) -> BusAnswer:
    """Answer with pages of a document, also while it is converted."""
    wanted = requests.parse_json(PagesRequest, call.members)
    document = await _document(call, wanted)
    content.raise_if_removed(document)
    room = Room(call.max_bytes)
    return responses.Answer(200, await read_pages(call.edge, document, wanted.since, room))


async def batch_status(call: Call) -> BusAnswer:
    """Answer with the progress of a batch, when it has ended or time is up."""
    async with call.place():
        wanted = requests.parse_json(BatchReference, call.members)
        batch = await lookup.require_batch(call.edge, call.tenant, wanted.batch_id)
    batch = await wait_for_batch(call.edge, batch, wanted.wait, call.closing)
    async with call.place():
        return await batches.status_answer(call.edge, batch, wanted.details)


async def usage_summary(call: Call) -> BusAnswer:
    """Answer with what was converted between two dates, and what it cost."""
    wanted = requests.parse_json(UsageRequest, call.members)
    names = ("start_date", "end_date")
    within = usage.parse_range(wanted.start_date, wanted.end_date, names)
    if wanted.breakdown:
        return await usage.breakdown_answer(call.edge, call.tenant, within)
    return await usage.summary_answer(call.edge, call.tenant, within)


async def _document(call: Call, wanted: DocumentReference) -> DocumentRecord:
    return await lookup.require_document(call.edge, call.tenant, wanted.document_id)


def _marked(accepted: Accepted, answer: BusAnswer) -> BusAnswer:
    assert not isinstance(answer, Replayed)
    return Replayed(answer) if accepted.replayed else answer


OPERATIONS = (
    BusOperation(
        name="submit",
        summary="Submits a document for conversion.",
        body=SubmitDocument,
        replies=(replies.Submitted,),
        http="POST /v1/documents",
        handler=submit,
        makes=True,
        writes=True,
    ),
    BusOperation(
        name="convert",
        summary="Converts a document and waits for its result.",
        body=ConvertDocument,
        replies=(replies.Unfinished,),
        http="POST /v1/convert",
        handler=convert_document,
        makes=True,
        content=True,
        writes=True,
        waits=True,
    ),
    BusOperation(
        name="cancel",
        summary="Cancels the conversion of a document, or deletes one that has ended.",
        body=DocumentReference,
        replies=(replies.DeletionReceipt,),
        http="DELETE /v1/documents/{id}",
        handler=cancel,
        writes=True,
    ),
    BusOperation(
        name="status",
        summary="How far a document is.",
        body=DocumentStatusRequest,
        replies=(replies.DocumentStatus,),
        http="GET /v1/documents/{id}",
        handler=status,
        waits=True,
    ),
    BusOperation(
        name="result",
        summary="A converted document in one of the formats.",
        body=ReadResult,
        replies=(),
        http="GET /v1/documents/{id}/content",
        handler=result,
        content=True,
    ),
    BusOperation(
        name="pages",
        summary="The pages of a document, also while it is converted.",
        body=PagesRequest,
        replies=(DocumentPages,),
        http="GET /v1/documents/{id}/pages",
        handler=pages,
    ),
    BusOperation(
        name="batch.submit",
        summary="Submits up to 100 documents together.",
        body=SubmitBatch,
        replies=(replies.BatchSubmitted,),
        http="POST /v1/batch/submit",
        handler=submit_batch,
        makes=True,
        writes=True,
    ),
    BusOperation(
        name="batch.status",
        summary="How far a batch is.",
        body=BatchReference,
        replies=(replies.BatchStatus,),
        http="GET /v1/batch/{id}",
        handler=batch_status,
        waits=True,
    ),
    BusOperation(
        name="usage",
        summary="What was converted, and what it cost.",
        body=UsageRequest,
        replies=(usage_replies.UsageSummary, usage_replies.UsageBreakdown),
        http="GET /api/usage/summary",
        handler=usage_summary,
    ),
)
"""Every operation; the subject of each is ``ilios.api`` and its name."""
