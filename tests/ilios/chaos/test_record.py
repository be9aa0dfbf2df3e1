"""States that clients read are recorded, and impossible ones are violations."""

import pytest

from ilios.chaos.documents import SampleDocument
from ilios.chaos.record import RunRecord

SAMPLE = SampleDocument(1)


def _record(removal: str = "none") -> RunRecord:
    record = RunRecord()
    record.record_accepted("id", record.add_submission(SAMPLE, "submit"), now=1.0)
    record.documents["id"].removal = removal  # type: ignore[assignment]
    return record


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


def test_a_document_may_be_deleted_after_a_request() -> None:
    record = _record("asked")
    assert _record_states(record, "processing", "completed", "deleted") == []
    assert record.documents["id"].state == "deleted"


def test_an_answer_that_was_overtaken_is_no_regression() -> None:
    record = _record()
    record.record_state("id", "completed", None, asked_at=3.0, now=3.1)
    record.record_state("id", "processing", None, asked_at=2.0, now=3.2)
    assert record.violations == []
    assert record.documents["id"].state == "completed"


def test_progress_counts_what_was_accepted_and_what_has_ended_once_each() -> None:
    record = _record()
    assert record.progress == 1
    _record_states(record, "processing", "completed", "completed")
    assert record.progress == 2
    assert record.unfinished == []


def test_one_id_for_two_documents_is_a_mix_up() -> None:
    record = _record()
    record.record_accepted("id", record.add_submission(SampleDocument(2), "submit"), now=2.0)
    assert [violation.kind for violation in record.violations] == ["mixed up"]


def test_an_accepted_document_that_is_unknown_is_lost_once_however_often_it_is_asked_for() -> None:
    record = _record()
    record.record_unknown("id")
    record.record_unknown("id")
    assert [violation.kind for violation in record.violations] == ["lost"]
