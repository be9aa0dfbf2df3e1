"""Subjects are derived from events, and parsed."""

from typing import get_args

import pytest

from bus import subjects
from schemas.documents import AnyDocumentEvent, DocumentSubmitted
from tests import events

ID = events.id_of(1)


def test_a_subject_has_kind_priority_tenant_and_document() -> None:
    event = events.submitted(priority=9, tenant="acme-1")
    assert subjects.subject_for(event) == f"ilios.document.submitted.p09.acme-1.{ID}"


def test_an_event_is_found_again_by_its_subject() -> None:
    for event in (events.submitted(priority=1), events.submitted(priority=10), events.failed()):
        address = subjects.parse_document(subjects.subject_for(event))
        assert address == subjects.DocumentSubject(
            subjects.event_name(type(event)), event.priority, event.tenant, event.document_id
        )


def test_no_two_events_share_a_name() -> None:
    names = [subjects.event_name(event_type) for event_type in get_args(AnyDocumentEvent)]
    assert sorted(names) == sorted(set(names))


def test_filters_name_one_kind_one_priority_or_one_document() -> None:
    assert subjects.filter_for(DocumentSubmitted) == "ilios.document.submitted.>"
    assert subjects.filter_for(DocumentSubmitted, 3) == "ilios.document.submitted.p03.>"
    assert subjects.document_filter("*", "acme", ID) == f"ilios.document.*.*.acme.{ID}"


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "ilios",
        f"ilios.document.submitted.p05.default.{ID}.more",
        f"ilios.document.submitted.default.{ID}",
        f"ilios.batch.submitted.p05.default.{ID}",
        f"other.document.submitted.p05.default.{ID}",
        f"ilios.document.submitted.p00.default.{ID}",
        f"ilios.document.submitted.p11.default.{ID}",
        f"ilios.document.submitted.p5.default.{ID}",
        f"ilios.document.submitted.P05.default.{ID}",
        f"ilios.document.submitted.p-5.default.{ID}",
        f"ilios.document.submitted.*.default.{ID}",
        f"ilios.document.submitted.p\u0660\u0665.default.{ID}",  # no consumer gets it
    ],
)
def test_a_subject_of_no_document_is_refused(subject: str) -> None:
    with pytest.raises(subjects.MalformedSubject):
        subjects.parse_document(subject)


def test_a_dead_letter_subject_has_its_document() -> None:
    where = subjects.dead_letter_subject(f"ilios.document.fetched.p05.acme.{ID}", 7)
    assert where == f"ilios.dead.fetched.acme.{ID}"


@pytest.mark.parametrize(
    "subject",
    [
        "nonsense",
        "ilios.document.fetched.p05.*.>",
        f"ilios.document.fetched.p05.a\rb.{ID}",
        f"ilios.document.fetched.p05.\ufffd.{ID}",
        "ilios.document.fetched.p05.default.short",
    ],
)
def test_a_dead_letter_without_a_document_has_its_sequence_in_its_subject(subject: str) -> None:
    assert subjects.dead_letter_subject(subject, 7) == "ilios.dead.unknown.unknown.7"
