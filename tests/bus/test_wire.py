"""Bytes become events, or a sentence that says why not."""

import msgspec
import pytest

from bus import subjects, wire
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
def test_what_is_encoded_is_decoded_under_its_own_subject(event: AnyDocumentEvent) -> None:
    assert wire.decode(subjects.subject(event), wire.encode(event)) == event


def test_the_wire_is_json_that_people_can_read() -> None:
    assert msgspec.json.decode(wire.encode(events.failed()))["reason"] == "It is."


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
    subject = subjects.subject(events.submitted())
    with pytest.raises(wire.Malformed, match="the event says"):
        wire.decode(subject, wire.encode(stranger))


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
        (wire.encode(events.failed()).replace(b"It is.", b"\xff"), "utf-8"),
        (wire.encode(events.failed()) + b"x", "trailing"),
        (NESTED, "nested too deeply"),
    ],
)
def test_what_is_no_event_is_malformed_and_says_why(body: bytes, sentence: str) -> None:
    subject = subjects.subject(events.failed())
    with pytest.raises(wire.Malformed, match=sentence):
        wire.decode(subject, body)


def test_an_event_on_a_subject_that_is_none_is_malformed() -> None:
    with pytest.raises(wire.Malformed, match="p00"):
        wire.decode(
            f"ilios.document.failed.p00.default.{events.name(1)}", wire.encode(events.failed())
        )
