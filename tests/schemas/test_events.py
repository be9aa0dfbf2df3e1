"""Old events stay readable; invalid ones are refused by the name of the member."""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from schemas.batches import BatchCompleted, BatchProgressed, BatchSubmitted
from schemas.documents import (
    MAX_INLINE_BYTES,
    Blob,
    DocumentArchived,
    DocumentConverted,
    DocumentFailed,
    DocumentSubmitted,
    Inline,
    Remote,
    Stored,
)
from schemas.events import AnyEvent, JanitorProbed, JanitorSwept
from schemas.options import ConversionOptions
from tests import events

Event = AnyEvent | JanitorSwept | JanitorProbed

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))

MISTRAL = ConversionOptions(engine="mistral", model="mistral-ocr-2512")
CHOSEN = {"options": MISTRAL, "held": True}
LABELS: dict[str, Any] = {
    "reference": "Rechnung 2026/17 · Müller",
    "metadata": {"case": 17, "tags": ["a", None, True], "sum": 1.5},
}
RESULT = Blob("result", 21, events.SHA256)

ORIGINALS: dict[str, Event] = {
    "document.submitted.1.inline": events.submitted(),
    "document.submitted.1.stored": events.submitted(
        source=Stored(3, events.SHA256), priority=10, tenant="acme-1"
    ),
    "document.submitted.1.url": events.submitted(source=Remote("https://example.com/a.pdf")),
    "document.submitted.1.least": DocumentSubmitted(
        document_id=events.id_of(1), source=Remote("https://example.com/a.pdf")
    ),
    "document.rejected.1": events.rejected(sequence=7),
    "document.fetched.1": events.fetched(),
    "document.fetched.1.more": events.fetched(),
    "document.converted.1": events.converted(),
    "document.converted.1.least": msgspec.structs.replace(
        events.converted(), input_tokens=0, output_tokens=0
    ),
    "document.completed.1": events.completed(),
    "document.failed.1": events.failed(),
    "document.failed.1.least": msgspec.structs.replace(events.failed(), attempts=1),
    "document.submitted.1.keyed": msgspec.structs.replace(
        events.submitted(source=Stored(3, events.SHA256, suffix="abc123")),
        fingerprint=events.SHA256,
    ),
    "document.submitted.1.detected": events.submitted(
        source=Stored(3, events.SHA256, suffix="abc123", detected="application/pdf")
    ),
    "document.submitted.1.chosen": msgspec.structs.replace(
        events.submitted(source=Stored(3, events.SHA256)), **CHOSEN
    ),
    "document.fetched.1.chosen": msgspec.structs.replace(events.fetched(), **CHOSEN),
    "document.converted.1.result": msgspec.structs.replace(
        events.converted(),
        engine="mistral",
        model="mistral-ocr-2512",
        result=RESULT,
        billed_pages=2,
        variant="batch",
    ),
    "document.converted.1.fallback": msgspec.structs.replace(
        events.converted(), fallback_from="mistral"
    ),
    "document.completed.1.result": msgspec.structs.replace(
        events.completed(), result=RESULT, fallback_from="mistral"
    ),
    "document.converted.1.warnings": events.converted(unreadable=True),
    "document.completed.1.warnings": msgspec.structs.replace(
        events.completed(), warnings=events.UNREADABLE, quality=events.HALF
    ),
    "document.converted.1.partial": events.converted(partial=True),
    "document.completed.1.partial": msgspec.structs.replace(events.completed(), partial=True),
    "document.submitted.1.labels": msgspec.structs.replace(events.submitted(), **LABELS),
    "document.completed.1.labels": msgspec.structs.replace(events.completed(), **LABELS),
    "document.failed.1.labels": msgspec.structs.replace(events.failed(), **LABELS),
    "document.submitted.1.deadline": msgspec.structs.replace(
        events.submitted(), deadline=events.COMPLETED_AT
    ),
    "document.fetched.1.deadline": msgspec.structs.replace(
        events.fetched(), deadline=events.COMPLETED_AT
    ),
    "batch.submitted.1.deadline": msgspec.structs.replace(
        events.batch(1, 2), deadline=events.COMPLETED_AT
    ),
    "document.imported.1": events.imported(),
    "document.imported.1.failed": events.imported_failure(),
    "batch.imported.1": events.imported_batch(),
    "document.cancelled.1": events.cancelled(),
    "document.cancelled.1.labels": msgspec.structs.replace(events.cancelled(), **LABELS),
    "document.archived.1": events.archived(),
    "document.archived.1.least": DocumentArchived(document_id=events.id_of(1)),
    "document.deleted.1": events.deleted(cause="expired"),
    "document.deleted.1.least": events.deleted(),
    "batch.submitted.1": events.batch(1, 2),
    "batch.submitted.1.chosen": msgspec.structs.replace(
        events.batch(1, 2), options=MISTRAL, engine_batch=True
    ),
    "batch.submitted.1.labels": msgspec.structs.replace(
        events.batch(1, 2),
        documents=(msgspec.structs.replace(events.batch(1, 1).documents[0], **LABELS),),
        **LABELS,
    ),
    "batch.completed.1.labels": BatchCompleted(
        batch_id="batch0000000000000000001", total=3, completed=2, failed=1, **LABELS
    ),
    "batch.progressed.1": BatchProgressed(
        batch_id="batch0000000000000000001",
        job="3f0e5c1a-7f1b-4c57-9d6e-0d3f4c2b1a90",
        status="RUNNING",
        total=3,
        completed=1,
    ),
    "batch.completed.1": BatchCompleted(
        batch_id="batch0000000000000000001", total=3, completed=2, failed=1
    ),
    "janitor.probed.1": JanitorProbed(),
    "janitor.swept.1": JanitorSwept(
        archived=1,
        deleted=2,
        erased=3,
        redriven=4,
        given_up=5,
        orphans=6,
        temporary=7,
        held="why",
        seconds=0.5,
    ),
}


def decode_event(body: bytes) -> Event:
    event: Event = msgspec.json.decode(body, type=Event)
    return event


def test_every_golden_file_has_an_original_and_the_other_way_round() -> None:
    assert sorted(file.stem for file in GOLDEN) == sorted(ORIGINALS)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_an_event_of_every_version_is_read_for_ever(file: Path) -> None:
    assert decode_event(file.read_bytes()) == ORIGINALS[file.stem]


@pytest.mark.parametrize("word", get_args(Event), ids=lambda word: word.__name__)
def test_every_event_has_a_golden_file_of_its_version(word: type[msgspec.Struct]) -> None:
    tag = str(word.__struct_config__.tag)
    assert any(name.startswith(tag.replace("/", ".")) for name in ORIGINALS)
    kind, _, version = tag.partition("/")
    thing, _, verb = kind.partition(".")
    assert word.__name__.lower() in (thing + verb, verb)
    assert version.isdecimal()


@pytest.mark.parametrize("event", ORIGINALS.values(), ids=list(ORIGINALS))
def test_an_encoded_event_is_decoded_equal(event: Event) -> None:
    assert decode_event(msgspec.json.encode(event)) == event


def test_the_type_stands_first_on_the_wire() -> None:
    assert msgspec.json.encode(events.failed()).startswith(b'{"type":"document.failed/1",')


WRONG_BATCHES: list[tuple[str, object, str]] = [
    ("batch_id", "short", "$.batch_id"),
    ("batch_id", "b" * 28, "$.batch_id"),
    ("documents", [], "$.documents"),
    ("documents", msgspec.to_builtins(events.batch(1, 100).documents) * 2, "$.documents"),
    ("priority", 11, "$.priority"),
    ("retention_days", 0, "$.retention_days"),
    ("engine", "tesseract", "$.engine"),
    ("model", "-", "$.model"),
    ("engine_batch", "true", "$.engine_batch"),
]


@pytest.mark.parametrize(("member", "value", "named"), WRONG_BATCHES)
def test_a_wrong_batch_is_refused_by_name(member: str, value: object, named: str) -> None:
    whole: dict[str, Any] = json.loads(msgspec.json.encode(events.batch(1, 2)))
    assert isinstance(decode_event(json.dumps(whole).encode()), BatchSubmitted)
    with pytest.raises(msgspec.ValidationError) as refusal:
        decode_event(json.dumps(whole | {member: value}).encode())
    assert named in str(refusal.value)


WRONG: list[tuple[str, object, str]] = [
    ("document_id", "short", "$.document_id"),
    ("document_id", "document000000000000001\n", "$.document_id"),
    ("document_id", "Document0000000000000001", "$.document_id"),
    ("tenant", "a.b", "$.tenant"),
    ("tenant", "", "$.tenant"),
    ("priority", 0, "$.priority"),
    ("priority", 11, "$.priority"),
    ("priority", True, "$.priority"),
    ("priority", "5", "$.priority"),
    ("retention_days", 0, "$.retention_days"),
    ("retention_days", 3651, "$.retention_days"),
    ("retention_days", 10**30, "$.retention_days"),
    ("file_name", "", "$.file_name"),
    ("file_name", "a" * 256, "$.file_name"),
    ("content_type", "a" * 256, "$.content_type"),
    ("operation", "burn", "$.operation"),
    ("engine", "tesseract", "$.engine"),
    ("model", "", "$.model"),
    ("model", "Mistral OCR", "$.model"),
    ("model", "mistral-ocr\n", "$.model"),
    ("model", "a" * 65, "$.model"),
    ("held", 1, "$.held"),
    ("submitted_at", "yesterday", "$.submitted_at"),
    ("submitted_at", 5, "$.submitted_at"),
    ("deadline", "tomorrow", "$.deadline"),
    ("deadline", "2300-01-01T00:00:00Z", "deadline is in the year 2300"),
    ("reference", "", "$.reference"),
    ("reference", "a" * 256, "$.reference"),
    ("reference", "two\nlines", "$.reference"),
    ("metadata", [1], "$.metadata"),
    ("metadata", {str(n): n for n in range(65)}, "$.metadata"),
    ("metadata", {"a": "b" * 4096}, "metadata must be a JSON object"),
    ("source", {"kind": "ftp"}, "$.source.kind"),
    ("source", {"kind": "url", "url": ""}, "$.source.url"),
    ("source", {"kind": "url", "url": "h" * 2049}, "$.source.url"),
    ("source", {"kind": "stored", "size": -1, "sha256": events.SHA256}, "$.source.size"),
    ("source", {"kind": "stored", "size": 1, "sha256": "A" * 64}, "$.source.sha256"),
    ("source", {"kind": "inline", "data": "not base64"}, "$.source.data"),
    ("source", {"kind": "inline"}, "`data`"),
    ("type", "document.submitted/2", "$.type"),
    ("type", "document.burnt/1", "$.type"),
]


@pytest.mark.parametrize(("member", "value", "named"), WRONG)
def test_a_wrong_value_is_refused_by_name(member: str, value: object, named: str) -> None:
    whole: dict[str, Any] = json.loads(msgspec.json.encode(events.submitted()))
    assert decode_event(json.dumps(whole).encode())
    with pytest.raises(msgspec.ValidationError) as refusal:
        decode_event(json.dumps(whole | {member: value}).encode())
    assert named in str(refusal.value)


@pytest.mark.parametrize("member", ["type", "document_id", "source"])
def test_a_missing_member_is_named(member: str) -> None:
    whole = json.loads(msgspec.json.encode(events.submitted()))
    del whole[member]
    with pytest.raises(msgspec.ValidationError, match=member):
        decode_event(json.dumps(whole).encode())


def test_an_inline_document_has_a_most() -> None:
    event = events.submitted(source=Inline(b"x" * MAX_INLINE_BYTES))
    assert decode_event(msgspec.json.encode(event)) == event
    with pytest.raises(msgspec.ValidationError, match=r"\$\.source\.data"):
        decode_event(
            msgspec.json.encode(events.submitted(source=Inline(b"x" * (MAX_INLINE_BYTES + 1))))
        )


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity"])
def test_an_event_that_cannot_be_encoded_again_is_refused(number: str) -> None:
    body = msgspec.json.encode(events.converted()).replace(
        b'"seconds":0.5', b'"seconds":%s' % number.encode()
    )
    assert number.encode() in body
    with pytest.raises(msgspec.DecodeError):
        decode_event(body)


def test_a_reason_with_half_a_character_is_not_read() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_event(msgspec.json.encode(events.failed()).replace(b"It is.", b"\\ud800"))


def test_events_cannot_be_changed() -> None:
    for event in (events.failed(), events.converted()):
        assert isinstance(event, DocumentFailed | DocumentConverted)
        with pytest.raises(AttributeError):
            event.tenant = "other"  # type: ignore[misc]
