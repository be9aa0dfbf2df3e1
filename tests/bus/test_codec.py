"""Bytes are decoded to events, or refused with the reason."""

import msgspec
import pytest

from bus import codec, subjects
from schemas.documents import AnyDocumentEvent
from tests import events

EVERY_KIND: list[AnyDocumentEvent] = [
    events.submitted(),
    events.fetched(),
    events.converted(),
    events.completed(),
    events.failed(),
]


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: type(event).__name__)
def test_an_encoded_event_is_decoded_under_its_subject(event: AnyDocumentEvent) -> None:
    assert codec.decode(subjects.subject_for(event), codec.encode(event)) == event


def test_the_wire_is_json_that_people_can_read() -> None:
    assert msgspec.json.decode(codec.encode(events.failed()))["reason"] == "It is."


@pytest.mark.parametrize(
    "stranger",
    [
        events.submitted(tenant="other"),
        events.submitted(priority=6),
        events.submitted(2),
        events.fetched(),
    ],
    ids=["tenant", "priority", "document", "kind"],
)
def test_an_event_may_not_contradict_its_subject(stranger: AnyDocumentEvent) -> None:
    subject = subjects.subject_for(events.submitted())
    with pytest.raises(codec.MalformedEvent, match="the event has"):
        codec.decode(subject, codec.encode(stranger))


NESTED = b'{"type":"document.failed/1","unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "object"),
        (b"{}", "type"),
        (b'{"type":"document.failed/2"}', r"\$\.type"),
        (b'{"type":"document.failed/1"}', "document_id"),
        (codec.encode(events.failed()).replace(b"It is.", b"\xff"), "utf-8"),
        (codec.encode(events.failed()) + b"x", "trailing"),
        (NESTED, "nested too deeply"),
    ],
)
def test_a_malformed_event_is_rejected_with_a_reason(body: bytes, sentence: str) -> None:
    subject = subjects.subject_for(events.failed())
    with pytest.raises(codec.MalformedEvent, match=sentence):
        codec.decode(subject, body)


def test_an_event_on_a_subject_that_is_none_is_malformed() -> None:
    with pytest.raises(codec.MalformedEvent, match="p00"):
        codec.decode(
            f"ilios.document.failed.p00.default.{events.id_of(1)}", codec.encode(events.failed())
        )
