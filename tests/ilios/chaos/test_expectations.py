"""What clients are told is remembered, and what cannot be is noted."""

import pytest

from ilios.chaos.documents import SampleDocument
from ilios.chaos.expectations import RunRecord

SAMPLE = SampleDocument(1)


def _record(removal: str = "none") -> RunRecord:
    book = RunRecord()
    book.record_accepted("id", book.add_submission(SAMPLE, "submit"), now=1.0)
    book.documents["id"].removal = removal  # type: ignore[assignment]
    return book


def _record_states(record: RunRecord, *states: str) -> list[str]:
    for moment, state in enumerate(states, 2):
        record.record_state("id", state, None, asked_at=moment, now=moment + 0.5)
    return [violation.kind for violation in record.violations]


@pytest.mark.parametrize(
    "states",
    [
        ("completed", "pending"),
        ("completed", "processing"),
        ("completed", "failed"),
        ("failed", "completed"),
        ("completed", "deleted"),
    ],
)
def test_an_end_that_changes_is_a_regression(states: tuple[str, ...]) -> None:
    assert _record_states(_record(), *states) == ["regressed"]


@pytest.mark.parametrize("states", [("cancelled", "deleted"), ("deleted", "completed")])
def test_a_removal_that_changes_is_a_regression_even_if_it_was_asked_for(
    states: tuple[str, ...],
) -> None:
    assert _record_states(_record("asked"), *states) == ["regressed"]


def test_what_was_asked_to_be_deleted_may_be() -> None:
    book = _record("asked")
    assert _record_states(book, "processing", "completed", "deleted") == []
    assert book.documents["id"].state == "deleted"


def test_an_answer_that_was_overtaken_is_no_regression() -> None:
    book = _record()
    book.record_state("id", "completed", None, asked_at=3.0, now=3.1)
    book.record_state("id", "processing", None, asked_at=2.0, now=3.2)
    assert book.violations == []
    assert book.documents["id"].state == "completed"


def test_progress_counts_what_was_accepted_and_what_has_ended_once_each() -> None:
    book = _record()
    assert book.progress == 1
    _record_states(book, "processing", "completed", "completed")
    assert book.progress == 2
    assert book.unfinished == []


def test_one_id_for_two_documents_is_a_mix_up() -> None:
    book = _record()
    book.record_accepted("id", book.add_submission(SampleDocument(2), "submit"), now=2.0)
    assert [violation.kind for violation in book.violations] == ["mixed up"]


def test_an_accepted_document_that_is_unknown_is_lost_once_however_often_it_is_asked_for() -> None:
    book = _record()
    book.record_unknown("id")
    book.record_unknown("id")
    assert [violation.kind for violation in book.violations] == ["lost"]
