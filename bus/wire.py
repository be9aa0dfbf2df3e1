"""Events as bytes: JSON, so that people and any language can read the log."""

import msgspec

from schemas.documents import AnyDocumentEvent

from . import subjects

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyDocumentEvent] = msgspec.json.Decoder(AnyDocumentEvent)


class Malformed(ValueError):
    """The bytes are not an event, or the event contradicts the subject it came by."""


def encode(event: AnyDocumentEvent) -> bytes:
    """Return the event as JSON, its ``type`` first."""
    return _encoder.encode(event)


def decode(subject: str, body: bytes) -> AnyDocumentEvent:
    """Read an event and hold it against its subject.

    The subject is what permissions are granted on, so an event may not name another tenant,
    document, priority or kind than the subject it was published on.

    :raises Malformed: with a sentence that names the member at fault.
    """
    try:
        address = subjects.parse(subject)
        event = _decoder.decode(body)
    except (msgspec.MsgspecError, subjects.NotAnAddress, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from error
    except RecursionError:
        raise Malformed("the event is nested too deeply to be read") from None
    said = subjects.Address(
        subjects.event_name(type(event)), event.priority, event.tenant, event.document_id
    )
    if said != address:
        raise Malformed(
            f"the event says {said.event} p{said.priority:02d} {said.tenant} {said.document_id}, "
            f"its subject {subject}"
        )
    return event
