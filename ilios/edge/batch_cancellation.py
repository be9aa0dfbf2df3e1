"""Cancelling what is left of a batch."""

import asyncio

from aiohttp import web

from ilios.edge import batches, lookup, removals, responses
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import AUTHENTICATING, FINDING_BATCH, PUBLISHING
from ilios.edge.operation import BATCH_ID, JSON, Response, operation
from ilios.edge.responses import Answer
from schemas.cancellations import BatchCancellation
from schemas.records import DocumentRecord
from schemas.states import UNFINISHED_STATES


@operation(
    "DELETE",
    "/v1/batch/{id}",
    name="cancelBatch",
    tag=batches.TAG,
    summary="Cancel what is left of a batch",
    description="Documents that have ended stay, with their results. Asking again gets the same "
    "answer, and finishes what an interrupted request has begun.",
    parameters=(BATCH_ID,),
    responses={
        200: Response(
            description="Nothing is left to be converted.",
            content={JSON: BatchCancellation},
        ),
        202: Response(
            description="The documents that are left will be cancelled in a moment.",
            content={JSON: BatchCancellation},
            headers=("Location", "Retry-After"),
        ),
    },
    problems=(AUTHENTICATING, FINDING_BATCH, PUBLISHING),
)
async def cancel(request: web.Request) -> web.StreamResponse:
    """Answer with how many documents are cancelled."""
    edge, tenant, batch_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    return responses.answer_response(await cancel_batch(edge, tenant, batch_id))


async def cancel_batch(edge: Edge, tenant: str, batch_id: str) -> Answer:
    """Cancel the unfinished documents of a batch; 202 when the database does not show it yet.

    :raises HttpProblem: as ``lookup.require_batch``.
    """
    batch = await lookup.require_batch(edge, tenant, batch_id)
    documents = await lookup.batch_documents(edge, batch)
    left = [document for document in documents if document.state in UNFINISHED_STATES]
    tasks = [asyncio.ensure_future(removals.cancel_unfinished(edge, one)) for one in left]
    try:
        cancelled = await asyncio.gather(*tasks)
    finally:
        # One that failed is answered as an error: the others must not go on behind it.
        for task in tasks:
            task.cancel()
    final = await _wait_until_ended(edge, left)
    before = sum(document.state == "cancelled" for document in documents)
    batch = await lookup.require_batch(edge, tenant, batch_id)
    reply = BatchCancellation(
        batch_id=batch_id,
        status=batch.progress.state,
        cancelled=before + sum(cancelled),
        progress=batches.progress_reply(batch),
    )
    if final:
        return Answer(200, reply)
    return Answer(202, reply, batches.status_headers(batch_id))


async def _wait_until_ended(edge: Edge, documents: list[DocumentRecord]) -> bool:
    """Whether all of these documents have ended, after a moment that the database may need."""
    deadline = asyncio.get_running_loop().time() + edge.limits.removal_timeout
    for document in documents:
        while True:
            found = await edge.reads.document(document.tenant, document.document_id)
            if found is not None and found.state not in UNFINISHED_STATES:
                break
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(removals.POLL_INTERVAL)
    return True
