"""Encoding and decoding of events: JSON, so that people and any language can read the log."""

from datetime import datetime
from typing import Any, TypeVar

import msgspec

from bus import subjects
from schemas.batches import BatchEvent, BatchSubmitted
from schemas.documents import (
    ConversionEvent,
    DocumentEvent,
    DocumentRejected,
    DocumentSubmitted,
)
from schemas.events import AnyEvent
from schemas.ids import is_id, is_tenant
from schemas.labels import NO_LABELS, Labels, check_metadata
from schemas.options import (
    NO_OPTIONS,
    ConversionOptions,
    UnsupportedOptions,
    fill_options,
    options_from_json,
    options_to_json,
)

_D = TypeVar("_D", bound=DocumentEvent)
_B = TypeVar("_B", bound=BatchEvent)

MAX_REASON_CHARS = 500
_LEFT_OUT_IF_NONE = ("reference", "metadata", "deadline")
"""Members that former versions do not have."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class MalformedEvent(ValueError):
    """The bytes are not an event, or the event contradicts the subject of its message."""


def encode(event: msgspec.Struct) -> bytes:
    """Return the event as JSON, its ``type`` first."""
    if isinstance(event, ConversionEvent | BatchSubmitted):
        return _encode_with_options(event, event.options)
    return _encoder.encode(event)


def _encode_with_options(event: msgspec.Struct, options: ConversionOptions) -> bytes:
    """Encode an event that former versions understand, too, as far as they can.

    They read ``engine`` and ``model`` beside the other members. ``options`` holds all options, but
    is left out where those two are all there is.
    """
    # An unknown option cannot be turned into builtins: it is JSON already.
    plain = msgspec.structs.replace(event, options=NO_OPTIONS)
    members: dict[str, Any] = msgspec.to_builtins(plain, builtin_types=(bytes, datetime))
    members["engine"], members["model"] = options.engine, options.model
    if options == ConversionOptions(engine=options.engine, model=options.model):
        del members["options"]
    else:
        members["options"] = msgspec.Raw(options_to_json(options))
    for name in _LEFT_OUT_IF_NONE:
        if members[name] is None:
            del members[name]
    return _encoder.encode(members)


def decode(subject: str, body: bytes) -> AnyEvent:
    """Decode an event and check it against its subject.

    The subject is what permissions are granted on, so an event may not name another tenant,
    document, batch, priority or kind than the subject it was published on. A tenant or a priority
    that it does not name is that of the subject.

    Unknown members are ignored, except for options: their names are in ``options.unsupported``.

    :raises MalformedEvent: with a sentence that names the member at fault.
    """
    try:
        event = _decode_body(body)
        if isinstance(event, BatchEvent):
            event = _complete_batch_event(event, subject, body)
        else:
            event = _complete_document_event(event, subject, body)
    except (msgspec.MsgspecError, subjects.MalformedSubject, UnicodeDecodeError) as error:
        raise MalformedEvent(str(error)) from error
    except RecursionError:
        raise MalformedEvent("the event is nested too deeply to be read") from None
    return event


def rejection(
    subject: str, sequence: int, error: MalformedEvent, body: bytes = b""
) -> DocumentRejected | None:
    """Return the rejection of a malformed submission of a document.

    It belongs to the tenant and the id of its subject, whatever is in the event. None where the
    subject has neither, or is that of another event. It has the labels of the ``body`` if they can
    be read, so that its publisher recognises it.
    """
    try:
        address = subjects.parse_document(subject)
    except subjects.MalformedSubject:
        return None
    submitted = subjects.event_name(DocumentSubmitted)
    if (
        address.event != submitted
        or not is_tenant(address.tenant)
        or not is_id(address.document_id)
    ):
        return None
    labels = _readable_labels(body)
    return DocumentRejected(
        document_id=address.document_id,
        tenant=address.tenant,
        priority=address.priority,
        sequence=sequence,
        reason=f"The event is invalid: {error}"[:MAX_REASON_CHARS],
        reference=labels.reference,
        metadata=labels.metadata,
    )


_labels_decoder = msgspec.json.Decoder(Labels)


def _readable_labels(body: bytes) -> Labels:
    """Return the labels of an event that is invalid; none where they are invalid themselves."""
    try:
        labels = _labels_decoder.decode(body)
        check_metadata(labels.metadata)
    except (ValueError, RecursionError):  # of msgspec's and UTF-8, too
        return NO_LABELS
    return labels


def _decode_body(body: bytes) -> AnyEvent:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        event = _decode_with_unknown_options(body)
        if event is None:
            raise
        return event


def _decode_with_unknown_options(body: bytes) -> AnyEvent | None:
    """Decode an event with options that this version does not support; None without such options.

    :raises msgspec.ValidationError: something else is wrong with it.
    """
    members: dict[str, msgspec.Raw] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    written = members.pop("options", None)
    if written is None:
        return None
    try:
        options = options_from_json(bytes(written))
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise msgspec.ValidationError(f"{message} - at `$.options{path or '`'}") from None
    event = _decoder.decode(_encoder.encode(members))
    if not isinstance(options, UnsupportedOptions):
        return None
    if not isinstance(event, ConversionEvent | BatchSubmitted):
        return None
    options = fill_options(options, event.options.engine, event.options.model)
    return msgspec.structs.replace(event, options=options)


class _Named(msgspec.Struct):
    """What an event names of itself."""

    tenant: str | msgspec.UnsetType = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET


_named_decoder = msgspec.json.Decoder(_Named)


def _complete_document_event(event: _D, subject: str, body: bytes) -> _D:
    """Return an event that agrees with its subject."""
    expected = subjects.parse_document(subject)
    claimed = _document_subject(event)
    if claimed != expected:
        named = _named_decoder.decode(body)
        if named.tenant is msgspec.UNSET:
            event = msgspec.structs.replace(event, tenant=_tenant(expected.tenant))
        if named.priority is msgspec.UNSET:
            event = msgspec.structs.replace(event, priority=expected.priority)
        claimed = _document_subject(event)
    if claimed != expected:
        raise MalformedEvent(_contradiction(claimed, expected))
    return event


def _document_subject(event: DocumentEvent) -> subjects.DocumentSubject:
    name = subjects.event_name(type(event))
    return subjects.DocumentSubject(name, event.priority, event.tenant, event.document_id)


def _contradiction(claimed: msgspec.Struct, expected: msgspec.Struct) -> str:
    """Name the members of an event that are not those of its subject."""
    differing = [
        f"{'kind' if name == 'event' else name} {mine}, and its subject is of {theirs}"
        for name in expected.__struct_fields__
        if (mine := getattr(claimed, name)) != (theirs := getattr(expected, name))
    ]
    return f"the event has {', '.join(differing)}"


def _tenant(token: str) -> str:
    if not is_tenant(token):
        raise MalformedEvent(f"{token!r} in the subject is not a tenant")
    return token


def _complete_batch_event(event: _B, subject: str, body: bytes) -> _B:
    """Return an event that agrees with its subject."""
    expected = subjects.parse_batch(subject)
    if event.tenant != expected.tenant and _named_decoder.decode(body).tenant is msgspec.UNSET:
        event = msgspec.structs.replace(event, tenant=_tenant(expected.tenant))
    claimed = subjects.BatchSubject(subjects.event_name(type(event)), event.tenant, event.batch_id)
    if claimed != expected:
        raise MalformedEvent(_contradiction(claimed, expected))
    if isinstance(event, BatchSubmitted):
        _check_names(event)
    return event


def _check_names(event: BatchSubmitted) -> None:
    names = {document.document_id for document in event.documents}
    if len(names) < len(event.documents):
        raise MalformedEvent("two documents of the batch have the same document_id")
    for name in names:
        if not name.startswith(event.batch_id) or name == event.batch_id:
            raise MalformedEvent(f"document_id {name} does not begin with the batch_id")
