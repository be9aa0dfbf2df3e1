"""Bytes are decoded to events, or refused with the reason."""

import msgspec
import pytest

from bus import codec, subjects
from schemas.batches import BatchSubmitted
from schemas.documents import AnyDocumentEvent, DocumentSubmitted
from tests import events

EVERY_KIND: list[AnyDocumentEvent] = [
    events.submitted(),
    events.fetched(),
    events.converted(),
    events.completed(),
    events.failed(),
    events.rejected(),
]


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: type(event).__name__)
def test_an_encoded_event_is_decoded_under_its_subject(event: AnyDocumentEvent) -> None:
    assert codec.decode(subjects.subject_for(event), codec.encode(event)) == event


def test_the_wire_is_json_that_people_can_read() -> None:
    assert msgspec.json.decode(codec.encode(events.failed()))["reason"] == "It is."


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        (events.submitted(tenant="other"), "tenant other, and its subject is of default"),
        (events.submitted(priority=6), "priority 6, and its subject is of 5"),
        (events.submitted(2), f"document_id {events.id_of(2)}, and its subject is of"),
        (events.fetched(), "kind fetched, and its subject is of submitted"),
    ],
    ids=["tenant", "priority", "document", "kind"],
)
def test_an_event_may_not_contradict_its_subject(stranger: AnyDocumentEvent, reason: str) -> None:
    subject = subjects.subject_for(events.submitted())
    with pytest.raises(codec.MalformedEvent, match=f"the event has {reason}"):
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


def test_a_tenant_and_a_priority_that_an_event_leaves_out_are_those_of_its_subject() -> None:
    body = (
        b'{"type":"document.submitted/1","document_id":"m0abc123abc123abc123abc1",'
        b'"source":{"kind":"inline","data":"eA=="}}'
    )
    tenant = "k0123456789abcdef"
    subject = f"ilios.document.submitted.p08.{tenant}.m0abc123abc123abc123abc1"
    event = codec.decode(subject, body)
    assert isinstance(event, DocumentSubmitted)
    assert (event.tenant, event.priority) == (tenant, 8)


def test_a_batch_that_leaves_out_its_tenant_is_of_the_tenant_of_its_subject() -> None:
    body = (
        b'{"type":"batch.submitted/1","batch_id":"m0abc123abc123abc123abc1","documents":[{'
        b'"document_id":"m0abc123abc123abc123abc1001","source":{"kind":"inline","data":"eA=="}}]}'
    )
    subject = "ilios.batch.submitted.k0123456789abcdef.m0abc123abc123abc123abc1"
    event = codec.decode(subject, body)
    assert isinstance(event, BatchSubmitted)
    assert event.tenant == "k0123456789abcdef"


@pytest.mark.parametrize("member", ['"tenant":"default"', '"priority":5'])
def test_an_event_that_names_the_default_contradicts_another_subject(member: str) -> None:
    body = (
        f'{{"type":"document.submitted/1","document_id":"m0abc123abc123abc123abc1",{member},'
        '"source":{"kind":"inline","data":"eA=="}}'
    )
    subject = "ilios.document.submitted.p08.k0123456789abcdef.m0abc123abc123abc123abc1"
    with pytest.raises(codec.MalformedEvent, match="its subject is"):
        codec.decode(subject, body.encode())


def test_a_subject_whose_token_is_no_tenant_gives_none() -> None:
    body = (
        b'{"type":"document.submitted/1","document_id":"m0abc123abc123abc123abc1",'
        b'"source":{"kind":"inline","data":"eA=="}}'
    )
    subject = "ilios.document.submitted.p05.Some_Body.m0abc123abc123abc123abc1"
    with pytest.raises(codec.MalformedEvent, match="not a tenant"):
        codec.decode(subject, body)
