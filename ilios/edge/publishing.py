"""Publishes submissions once, and deletes what came with those that were not published.

The log takes the first event under an id only. The fingerprint in it distinguishes a repetition of
the same request from another request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import structlog
from msgspec import Struct

from bus import failpoints
from bus.errors import AlreadyPublished, BusUnavailable, NotPublished
from ilios.edge import lookup, passwords, uploads
from ilios.edge.context import Edge
from ilios.edge.errors import HttpProblem
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentSubmitted, Stored
from schemas.records import DocumentRecord
from schemas.states import REMOVED_STATES

HEADER = "Idempotency-Key"

log = structlog.get_logger("edge")


class Accepted(Struct, frozen=True):
    """A submission on the log. ``prior`` are the documents an earlier, equal request has made.

    It is ``replayed`` if that request had the same idempotency key.
    """

    submitted_at: datetime
    prior: list[DocumentRecord] | None
    replayed: bool = False


class PriorSubmission(Struct, frozen=True):
    """What the first request under a key has made."""

    fingerprint: str | None
    submitted_at: datetime
    documents: list[DocumentRecord]


async def accept(
    edge: Edge,
    event: DocumentSubmitted | BatchSubmitted,
    blob_keys: tuple[str, ...] = (),
    given: passwords.Passwords | None = None,
    *,
    only_first: bool = False,
) -> Accepted:
    """Publish a submission, unless the same request has published one before.

    ``blob_keys`` are the originals it brought, deleted unless they are those of the event on the
    log. ``given`` are passwords; the first request's count. ``only_first`` publishes an event
    without a fingerprint only where its id has none; what is there then counts as the same.

    :raises HttpProblem: the idempotency key was used for another request (422), or what was made
        under it is no longer there (410).
    """
    given = given or {}
    # Under an idempotency key a repetition may have sealed them by now, and needs them.
    sealed = () if event.fingerprint else passwords.sealed_keys(event.tenant, given)
    async with delete_unless_published(edge, event, (*blob_keys, *sealed)):
        prior = await _publish_once(edge, event, blob_keys, given, only_first=only_first)
    assert event.submitted_at is not None
    if prior is not None:
        await uploads.discard(edge.blobs, *blob_keys)
        replayed = event.fingerprint is not None
        return Accepted(prior.submitted_at, prior.documents, replayed)
    if isinstance(event, BatchSubmitted):
        log.info(
            "batch accepted",
            batch_id=event.batch_id,
            tenant=event.tenant,
            documents=len(event.documents),
        )
    else:
        size = event.source.size if isinstance(event.source, Stored) else None
        log.info("document accepted", document_id=event.document_id, tenant=event.tenant, size=size)
    return Accepted(event.submitted_at, None)


@asynccontextmanager
async def delete_unless_published(
    edge: Edge, event: DocumentSubmitted | BatchSubmitted, blob_keys: tuple[str, ...]
) -> AsyncIterator[None]:
    """Delete the stored originals when the body of the context fails to publish their event.

    Not when it is cancelled: the event may be on the log by then. If it is not, the bytes are
    orphans that nobody refers to, and are swept. The same goes for a request that can be repeated
    when the log did not answer: what the client does next will show. But not when it was certainly
    not published: clients that repeat it for as long as the bus is away would fill the volume.
    """
    try:
        yield
    except Exception as error:
        certainly_unpublished = isinstance(error, NotPublished) or not isinstance(
            error, BusUnavailable
        )
        if certainly_unpublished or not event.fingerprint:
            await uploads.discard(edge.blobs, *blob_keys)
        raise


async def _publish_once(
    edge: Edge,
    event: DocumentSubmitted | BatchSubmitted,
    blob_keys: tuple[str, ...],
    given: passwords.Passwords,
    *,
    only_first: bool,
) -> PriorSubmission | None:
    """Publish a submission, or return what the same request has made before."""
    failpoints.reach("edge.stored")
    if event.fingerprint is None:
        try:
            await _publish_first(edge, event, given)
        except AlreadyPublished:
            if only_first:
                assert event.submitted_at is not None
                return PriorSubmission(None, event.submitted_at, [])
            # The id is new: only an earlier try of this publish can have had it.
        return None
    try:
        prior = await _find_prior(edge, event)
    except BusUnavailable as error:
        raise NotPublished(str(error)) from error
    if prior is None:
        try:
            await _publish_first(edge, event, given)
            return None
        except AlreadyPublished:
            prior = await _find_prior(edge, event)
    if prior is None or prior.fingerprint != event.fingerprint:
        raise HttpProblem(
            422,
            "idempotency_key_reused",
            f"This {HEADER} was used for another request; use a new one for each request",
        )
    if all(document.state in REMOVED_STATES for document in prior.documents):
        raise HttpProblem(
            410,
            "document_removed",
            "What was submitted under this Idempotency-Key was cancelled or deleted; "
            "use a new one to submit it again",
        )
    return None if _is_own(event, blob_keys, prior) else prior


def _is_own(
    event: DocumentSubmitted | BatchSubmitted, blob_keys: tuple[str, ...], prior: PriorSubmission
) -> bool:
    """Whether it is this very event, of which only the acknowledgement was lost."""
    if not blob_keys:
        return prior.submitted_at == event.submitted_at
    original = prior.documents[0].original
    return original is not None and original.key in blob_keys


async def _publish_first(
    edge: Edge, event: DocumentSubmitted | BatchSubmitted, given: passwords.Passwords
) -> None:
    """Seal the passwords of a submission and publish it.

    :raises AlreadyPublished: its id is taken.
    """
    await passwords.seal(edge, event.tenant, given)
    await edge.publisher.publish_if_first(event)
    failpoints.reach("edge.published")


async def _find_prior(
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
