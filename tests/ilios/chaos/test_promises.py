"""What clients are told is remembered, and what cannot be is noted."""

import pytest

from ilios.chaos.papers import Paper
from ilios.chaos.promises import Book

PAPER = Paper(1)


def _book(removal: str = "none") -> Book:
    book = Book()
    book.accept("id", book.hand_in(PAPER, "submit"), now=1.0)
    book.documents["id"].removal = removal  # type: ignore[assignment]
    return book


def _tell(book: Book, *states: str) -> list[str]:
    for moment, state in enumerate(states, 2):
        book.see("id", state, None, asked_at=moment, now=moment + 0.5)
    return [violation.kind for violation in book.violations]


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
    assert _tell(_book(), *states) == ["regressed"]


@pytest.mark.parametrize("states", [("cancelled", "deleted"), ("deleted", "completed")])
def test_a_removal_that_changes_is_a_regression_even_if_it_was_asked_for(
    states: tuple[str, ...],
) -> None:
    assert _tell(_book("asked"), *states) == ["regressed"]


def test_what_was_asked_to_be_deleted_may_be() -> None:
    book = _book("asked")
    assert _tell(book, "processing", "completed", "deleted") == []
    assert book.documents["id"].state == "deleted"


def test_an_answer_that_was_overtaken_is_no_regression() -> None:
    book = _book()
    book.see("id", "completed", None, asked_at=3.0, now=3.1)
    book.see("id", "processing", None, asked_at=2.0, now=3.2)
    assert book.violations == []
    assert book.documents["id"].state == "completed"


def test_progress_counts_what_was_accepted_and_what_has_ended_once_each() -> None:
    book = _book()
    assert book.progress == 1
    _tell(book, "processing", "completed", "completed")
    assert book.progress == 2
    assert book.open == []


def test_one_id_for_two_documents_is_a_mix_up() -> None:
    book = _book()
    book.accept("id", book.hand_in(Paper(2), "submit"), now=2.0)
    assert [violation.kind for violation in book.violations] == ["mixed up"]


def test_an_accepted_document_that_is_unknown_is_lost_once_however_often_it_is_asked_for() -> None:
    book = _book()
    book.miss("id")
    book.miss("id")
    assert [violation.kind for violation in book.violations] == ["lost"]
