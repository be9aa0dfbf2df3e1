"""Options of a conversion on the bus: of former versions, of this one and of later ones."""

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest

from bus import codec, subjects
from schemas.batches import BatchSubmitted, document_submissions
from schemas.documents import ConversionEvent, DocumentFetched, DocumentSubmitted
from schemas.events import AnyEvent
from schemas.options import ConversionOptions, options_to_json
from tests import events

BOTH = ConversionOptions(engine="mistral", model="mistral-ocr-2512")
EVENTS: list[AnyEvent] = [events.submitted(), events.fetched(), events.batch(1, 2)]


class FormerSubmitted(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="document.submitted/1"
):
    """The members of a submission that version 0.1 reads, except for its source."""

    document_id: str
    tenant: str = "default"
    priority: int = 5
    requeues: int = 0
    file_name: str = "document"
    content_type: str = "application/octet-stream"
    retention_days: int = 365
    operation: str = "convert"
    submitted_at: datetime | None = None
    fingerprint: str | None = None
    engine: str | None = None
    model: str | None = None
    held: bool = False


def published(event: AnyEvent, **members: object) -> AnyEvent:
    """Return what is read of an event to which a publisher added or changed members."""
    body: dict[str, Any] = json.loads(codec.encode(event)) | members
    return codec.decode(subjects.subject_for(event), json.dumps(body).encode())


def options_of(event: AnyEvent) -> ConversionOptions:
    assert isinstance(event, ConversionEvent | BatchSubmitted)
    return event.options


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_members_of_former_versions_are_read_as_options(event: AnyEvent) -> None:
    found = published(event, engine="mistral", model="mistral-ocr-2512")
    assert options_of(found) == BOTH


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_options_win_over_members_of_former_versions(event: AnyEvent) -> None:
    found = published(event, engine="local", model="m-1", options={"engine": "mistral"})
    assert options_of(found) == ConversionOptions(engine="mistral", model="m-1")


@pytest.mark.parametrize("pages", ["3, 1-2", [2, 1, 3]])
def test_pages_are_text_or_a_list_of_numbers(pages: object) -> None:
    found = published(events.submitted(), options={"pages": pages})
    assert options_of(found) == ConversionOptions(pages="1-3")


@pytest.mark.parametrize("pages", ["0", "3-1", "", [], [0], "a", 5, ["1"]])
def test_pages_that_are_no_selection_make_an_event_malformed(pages: object) -> None:
    with pytest.raises(codec.MalformedEvent, match=r"\$\.options"):
        published(events.submitted(), options={"pages": pages})
    with pytest.raises(codec.MalformedEvent, match=r"\$\.options"):
        published(events.batch(1, 1), options={"pages": pages, "dialect": "de"})


@pytest.mark.parametrize("options", [ConversionOptions(), BOTH])
def test_options_of_former_versions_are_encoded_as_before(
    options: ConversionOptions,
) -> None:
    event = msgspec.structs.replace(events.submitted(), options=options)
    body = codec.encode(event)
    former = msgspec.json.decode(body, type=FormerSubmitted)
    assert (former.engine, former.model) == (options.engine, options.model)
    assert set(json.loads(body)) - {"source"} == {"type", *FormerSubmitted.__struct_fields__}


def test_a_former_version_reads_an_event_with_new_options() -> None:
    options = msgspec.structs.replace(BOTH, pages="1-3")
    event = msgspec.structs.replace(events.submitted(), options=options)
    former = msgspec.json.decode(codec.encode(event), type=FormerSubmitted)
    assert (former.engine, former.model) == (BOTH.engine, BOTH.model)
    assert codec.decode(subjects.subject_for(event), codec.encode(event)) == event


UNKNOWN: dict[str, Any] = {"pages": "1-3", "dialect": {"of": ["de", 10**30, 1e-7]}, "zoom": None}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_unknown_options_are_named_and_written_again_as_they_came(event: AnyEvent) -> None:
    found = published(event, engine="local", options=UNKNOWN)
    assert options_of(found).unsupported == ("dialect", "zoom")
    assert (options_of(found).pages, options_of(found).engine) == ("1-3", "local")
    again = json.loads(codec.encode(found))
    assert again["options"] == UNKNOWN | {"engine": "local"}
    assert codec.decode(subjects.subject_for(event), codec.encode(found)) == found


def test_documents_of_a_batch_inherit_its_options() -> None:
    batch = published(events.batch(1, 2), options=UNKNOWN)
    assert isinstance(batch, BatchSubmitted)
    inherited = [document.options for document in document_submissions(batch)]
    assert inherited == [batch.options] * 2
    assert json.loads(options_to_json(inherited[0])) == UNKNOWN


@pytest.mark.parametrize("options", [None, [], "pages", 5])
def test_options_are_an_object(options: object) -> None:
    with pytest.raises(codec.MalformedEvent, match=r"\$\.options"):
        published(events.submitted(), options=options)


def test_options_have_a_maximum_size() -> None:
    with pytest.raises(codec.MalformedEvent, match=r"options must be at most .* at `\$\.options`"):
        published(events.submitted(), options={"later": "x" * 70_000})


def test_unknown_options_do_not_hide_another_fault() -> None:
    with pytest.raises(codec.MalformedEvent, match=r"\$\.priority"):
        published(events.submitted(), options={"later": 1}, priority=99)


def test_events_without_options_ignore_a_member_of_that_name() -> None:
    assert published(events.failed(), options={"later": 1}) == events.failed()


@pytest.mark.parametrize("kind", [DocumentSubmitted, DocumentFetched, BatchSubmitted])
def test_an_event_can_be_given_other_options(kind: type[AnyEvent]) -> None:
    (event,) = (one for one in EVENTS if isinstance(one, kind))
    former = published(event, engine="mistral")
    assert options_of(msgspec.structs.replace(former, options=ConversionOptions())).engine is None
