"""Events as bytes: JSON, so that people and any language can read the log."""

import msgspec

from schemas.batches import BatchEvent, BatchSubmitted
from schemas.documents import DocumentEvent
from schemas.events import AnyEvent

from . import subjects

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class Malformed(ValueError):
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
            _agree_on_batch(event, subject)
        else:
            _agree_on_document(event, subject)
    except (msgspec.MsgspecError, subjects.NotAnAddress, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from error
    except RecursionError:
        raise Malformed("the event is nested too deeply to be read") from None
    return event


def _agree_on_document(event: DocumentEvent, subject: str) -> None:
    address = subjects.parse(subject)
    said = subjects.Address(
        subjects.event_name(type(event)), event.priority, event.tenant, event.document_id
    )
    if said != address:
        raise Malformed(
            f"the event says {said.event} p{said.priority:02d} {said.tenant} {said.document_id}, "
            f"its subject {subject}"
        )


def _agree_on_batch(event: BatchEvent, subject: str) -> None:
    address = subjects.parse_batch(subject)
    said = subjects.BatchAddress(subjects.event_name(type(event)), event.tenant, event.batch_id)
    if said != address:
        raise Malformed(
            f"the event says {said.event} {said.tenant} {said.batch_id}, its subject {subject}"
        )
    if not isinstance(event, BatchSubmitted):
        return
    names = {document.document_id for document in event.documents}
    if len(names) < len(event.documents):
        raise Malformed("two documents of the batch have the same document_id")
    for name in names:
        if not name.startswith(event.batch_id) or name == event.batch_id:
            raise Malformed(f"document_id {name} does not begin with the batch_id")
