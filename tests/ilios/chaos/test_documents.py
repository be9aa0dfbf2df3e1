"""Every page of a sample document is recognised as its own."""

import pytest

from actors.engines import PAGE_SEPARATOR
from ilios.chaos.documents import SampleDocument


def _page(number: int, page: int) -> str:
    token = f"Paper{number:06d}Page{page:03d}"
    return f"Line 1 {token} begins here.\nHere ends {token}."


def _pages(*pages: tuple[int, int]) -> str:
    return PAGE_SEPARATOR.join(_page(*page) for page in pages)


def test_a_document_with_its_own_pages_in_order_has_no_fault() -> None:
    assert SampleDocument(7, "pdf", 3).find_mismatch(_pages((7, 1), (7, 2), (7, 3))) is None


@pytest.mark.parametrize(
    "markdown",
    [
        "",
        _pages((8, 1), (8, 2)),
        _pages((7, 1), (8, 2)),
        _pages((7, 1)),
        _pages((7, 2), (7, 1)),
        _pages((7, 1), (7, 2), (7, 2)),
        _pages((7, 1), (7, 2)).replace(PAGE_SEPARATOR, "\n"),
        _pages((7, 1), (7, 2)).replace("Here ends Paper000007Page002.", ""),
        _pages((7, 1), (7, 2)) + PAGE_SEPARATOR,
    ],
    ids=[
        "nothing",
        "another document",
        "a page of another",
        "a page less",
        "in disorder",
        "a page twice",
        "pages run into one another",
        "half a page",
        "a page more",
    ],
)
def test_an_incomplete_document_is_reported(markdown: str) -> None:
    assert SampleDocument(7, "pdf", 2).find_mismatch(markdown) is not None


@pytest.mark.parametrize("kind", ["pdf", "docx", "broken", "unknown"])
def test_no_two_documents_are_alike_and_each_is_the_same_again(kind: str) -> None:
    hashes = [SampleDocument(number, kind).sha256 for number in (1, 2, 1)]  # type: ignore[arg-type]
    assert hashes[0] == hashes[2] != hashes[1]


def test_file_names_reveal_nothing() -> None:
    assert SampleDocument(1).file_name == SampleDocument(2).file_name
