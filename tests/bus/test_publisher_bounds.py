"""Bounds of the members of events of publishers."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bus import codec
from schemas.batches import MAX_BATCH_DOCUMENTS
from schemas.documents import MAX_INLINE_BYTES, effective_time, is_implausible
from tests import events

STORED = {"kind": "stored", "size": 3, "sha256": events.SHA256}
BATCH = "batch000000000000000001"
DOCUMENT_SUBJECT = f"ilios.document.submitted.p05.default.{events.id_of(1)}"
BATCH_SUBJECT = f"ilios.batch.submitted.default.{BATCH}"


def document(**members: Any) -> bytes:
    usual = {
        "type": "document.submitted/1",
        "document_id": events.id_of(1),
        "source": STORED,
    }
    return msgspec.json.encode(usual | members)


def batch(**members: Any) -> bytes:
    usual = {
        "type": "batch.submitted/1",
        "batch_id": BATCH,
        "documents": [{"document_id": f"{BATCH}001", "source": STORED}],
    }
    return msgspec.json.encode(usual | members)


SHARED: list[tuple[str, Any]] = [
    ("submitted_at", "0001-01-01T00:00:00Z"),
    ("submitted_at", "0001-01-01T00:00:00+23:59"),
    ("submitted_at", "1969-12-31T23:59:59Z"),
    ("submitted_at", "2200-01-01T00:00:00"),
    ("submitted_at", "9999-12-31T23:59:59-23:59"),
    ("submitted_at", "yesterday"),
    ("submitted_at", 1),
    ("priority", 0),
    ("priority", 11),
    ("priority", 2**63),
    ("priority", 5.5),
    ("retention_days", 0),
    ("retention_days", 3651),
    ("retention_days", 2**63),
    ("retention_days", -1),
    ("fingerprint", "x" * 64),
    ("engine", "other"),
    ("model", "x" * 65),
    ("model", "a b"),
]
OF_DOCUMENTS: list[tuple[str, Any]] = [
    *SHARED,
    ("file_name", ""),
    ("file_name", "x" * 256),
    ("content_type", "x" * 256),
    ("operation", "other"),
    ("requeues", -1),
    ("requeues", 1001),
    ("requeues", 2**64),
    ("held", 1),
    ("source", STORED | {"size": 2**53}),
    ("source", STORED | {"size": 2**63}),
    ("source", STORED | {"size": 2**64}),
    ("source", STORED | {"size": 10**400}),
    ("source", STORED | {"size": -1}),
    ("source", STORED | {"size": 1.5}),
    ("source", STORED | {"sha256": "0" * 63}),
    ("source", STORED | {"suffix": "../x"}),
    ("source", {"kind": "inline", "data": "not base64!"}),
    ("source", {"kind": "inline", "data": "QUFB" * (MAX_INLINE_BYTES // 3 + 1)}),
    ("source", {"kind": "url", "url": ""}),
    ("source", {"kind": "url", "url": "http://" + "x" * 2048}),
    ("source", {"kind": "other"}),
]
OF_BATCHES: list[tuple[str, Any]] = [
    *SHARED,
    ("engine_batch", "yes"),
    ("documents", []),
    (
        "documents",
        [
            {"document_id": f"{BATCH}{number:03d}", "source": STORED}
            for number in range(MAX_BATCH_DOCUMENTS + 1)
        ],
    ),
    ("documents", [{"document_id": f"{BATCH}001", "source": STORED | {"size": 2**63}}]),
    ("documents", [{"document_id": f"{BATCH}001", "source": STORED, "file_name": ""}]),
]


@pytest.mark.parametrize(("member", "value"), OF_DOCUMENTS)
def test_an_invalid_member_of_a_document_is_refused_by_name(member: str, value: Any) -> None:
    with pytest.raises(codec.MalformedEvent, match=member):
        codec.decode(DOCUMENT_SUBJECT, document(**{member: value}))


@pytest.mark.parametrize(("member", "value"), OF_BATCHES)
def test_an_invalid_member_of_a_batch_is_refused_by_name(member: str, value: Any) -> None:
    with pytest.raises(codec.MalformedEvent, match=member):
        codec.decode(BATCH_SUBJECT, batch(**{member: value}))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("submitted_at", "1970-01-01T00:00:00Z"),
        ("submitted_at", "2026-01-15T10:30:00"),
        ("submitted_at", "2199-12-31T23:59:59+14:00"),
        ("submitted_at", None),
        ("retention_days", 3650),
        ("source", STORED | {"size": 2**53 - 1}),
        ("source", STORED | {"size": 0}),
        ("file_name", "x" * 255),
        ("requeues", 1000),
    ],
)
def test_values_at_their_bounds_are_accepted(member: str, value: Any) -> None:
    codec.decode(DOCUMENT_SUBJECT, document(**{member: value}))


def test_a_time_that_is_refused_is_explained() -> None:
    with pytest.raises(codec.MalformedEvent, match="the year 1; leave it out, or give a time"):
        codec.decode(BATCH_SUBJECT, batch(submitted_at="0001-01-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("text", "is_believed"),
    [
        ("2026-01-15T10:00:00+00:00", True),
        ("2026-01-15T10:00:00", True),
        ("2026-01-14T12:00:00+01:00", True),
        ("2026-01-13T10:00:00+00:00", False),
        ("1970-01-01T00:00:00+23:59", False),
        ("2199-12-31T23:59:59-23:59", False),
    ],
)
def test_a_publishers_time_is_accepted_within_a_day_of_the_logs(
    text: str, is_believed: object
) -> None:
    stored_at = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
    time = datetime.fromisoformat(text)
    assert not is_implausible(time)
    found = effective_time(time, stored_at)
    assert (found != stored_at) is is_believed
    assert found.tzinfo is not None
