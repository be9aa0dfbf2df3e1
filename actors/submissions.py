"""Submissions on the log: which one of an id is valid, and which need no fetcher."""

from datetime import timedelta

import msgspec
from msgspec import Struct

from actors.errors import MoveToDeadLetters
from bus.consumers import HasBody
from bus.delivery import DeliveryInfo
from bus.log import Log, StoredSubmission
from schemas.documents import DocumentSubmitted

DUPLICATE_WINDOW = timedelta(
    minutes=1
)  # repetitions by the publisher; later ones come from the janitor


class _Source(Struct):
    kind: str
    detected: str | None = None


class _Submission(Struct):
    """The members that decide, of any submission; those of a malformed one may be wrong."""

    source: _Source
    held: bool = False


_decode = msgspec.json.Decoder(_Submission).decode


def is_detected(delivery: HasBody) -> bool:
    """Whether a submission is converted as it is, without the fetcher (``detected``).

    Each submission is for exactly one of fetcher and ocr, which finds out whether it is malformed.
    """
    # Most of other publishers need no decoding: the name of the member is as it is, or escaped.
    if b"detected" not in delivery.body and b"\\u" not in delivery.body:
        return False
    try:
        submitted = _decode(delivery.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    source = submitted.source
    return source.kind == "stored" and source.detected is not None and not submitted.held


def needs_fetching(delivery: HasBody) -> bool:
    """Whether a submission is for the fetcher."""
    return not is_detected(delivery)


async def find_repeated(
    log: Log, event: DocumentSubmitted, delivery: DeliveryInfo
) -> StoredSubmission | None:
    """Return the valid submission of the id, its first one, if the event is a repetition of it.

    :raises MoveToDeadLetters: the id belongs to another submission.
    """
    if delivery.is_first:
        return None
    first = await log.first_submission(event.tenant, event.document_id)
    if first is None or first.sequence == delivery.sequence:
        return None
    if msgspec.structs.replace(first.event, requeues=event.requeues) != event:
        raise MoveToDeadLetters(
            f"id already taken by another submission, sequence {first.sequence}"
        )
    return first


def is_duplicate(event: DocumentSubmitted, delivery: DeliveryInfo, first: StoredSubmission) -> bool:
    """Whether the publisher of the first submission has repeated it a moment later."""
    repeated = event.requeues == first.event.requeues
    return repeated and delivery.stored_at - first.stored_at < DUPLICATE_WINDOW
