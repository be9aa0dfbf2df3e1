"""What an earlier request has made under an id that is derived from its idempotency key."""

from datetime import datetime

from msgspec import Struct

from ilios.edge import lookup
from ilios.edge.context import Edge
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentSubmitted
from schemas.records import DocumentRecord


class PriorSubmission(Struct, frozen=True):
    """What the first request under a key has made."""

    fingerprint: str | None
    submitted_at: datetime
    documents: list[DocumentRecord]


async def find_prior(
    edge: Edge, event: DocumentSubmitted | BatchSubmitted
) -> PriorSubmission | None:
    """Return what has the event's id: of its own kind first, then of the other."""
    if isinstance(event, BatchSubmitted):
        tenant, name, kinds = event.tenant, event.batch_id, (_prior_batch, _prior_document)
    else:
        tenant, name, kinds = event.tenant, event.document_id, (_prior_document, _prior_batch)
    for kind in kinds:
        if (prior := await kind(edge, tenant, name)) is not None:
            return prior
    return None


async def _prior_document(edge: Edge, tenant: str, name: str) -> PriorSubmission | None:
    found = await lookup.get_document(edge, tenant, name)
    return PriorSubmission(found.fingerprint, found.submitted_at, [found]) if found else None


async def _prior_batch(edge: Edge, tenant: str, name: str) -> PriorSubmission | None:
    found = await lookup.get_batch(edge, tenant, name)
    if found is None:
        return None
    documents = await lookup.batch_documents(edge, found)
    return PriorSubmission(found.fingerprint, found.submitted_at, documents)
