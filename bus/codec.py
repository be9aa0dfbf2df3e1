"""Events as bytes: JSON, so that people and any language can read the log."""

import msgspec

from bus import subjects
from schemas.batches import BatchEvent, BatchSubmitted
from schemas.documents import DocumentEvent
from schemas.events import AnyEvent

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class MalformedEvent(ValueError):
    """The bytes are not an event, or the event contradicts the subject it came by."""


def encode(event: msgspec.Struct) -> bytes:
    """Return the event as JSON, its ``type`` first."""
    return _encoder.encode(event)


def decode(subject: str, body: bytes) -> AnyEvent:
    """Read an event and hold it against its subject.

    The subject is what permissions are granted on, so an event may not name another tenant,
    document, batch, priority or kind than the subject it was published on.

    :raises Malformed: with a sentence that names the member at fault.
    """
    try:
        event = _decoder.decode(body)
        if isinstance(event, BatchEvent):
            _check_batch_subject(event, subject)
        else:
            _check_document_subject(event, subject)
    except (msgspec.MsgspecError, subjects.MalformedSubject, UnicodeDecodeError) as error:
        raise MalformedEvent(str(error)) from error
    except RecursionError:
        raise MalformedEvent("the event is nested too deeply to be read") from None
    return event


def _check_document_subject(event: DocumentEvent, subject: str) -> None:
    expected = subjects.parse_document(subject)
    claimed = subjects.DocumentSubject(
        subjects.event_name(type(event)), event.priority, event.tenant, event.document_id
    )
    if claimed != expected:
        raise MalformedEvent(
            f"the event says {claimed.event} p{claimed.priority:02d} {claimed.tenant} "
            f"{claimed.document_id}, its subject {subject}"
        )


def _check_batch_subject(event: BatchEvent, subject: str) -> None:
    expected = subjects.parse_batch(subject)
    claimed = subjects.BatchSubject(subjects.event_name(type(event)), event.tenant, event.batch_id)
    if claimed != expected:
        raise MalformedEvent(
            f"the event says {claimed.event} {claimed.tenant} {claimed.batch_id}, "
            f"its subject {subject}"
        )
    if not isinstance(event, BatchSubmitted):
        return
    names = {document.document_id for document in event.documents}
    if len(names) < len(event.documents):
        raise MalformedEvent("two documents of the batch have the same document_id")
    for name in names:
        if not name.startswith(event.batch_id) or name == event.batch_id:
            raise MalformedEvent(f"document_id {name} does not begin with the batch_id")
