"""Chunks for retrieval: nothing is lost, nothing stands twice, and none is larger than wanted."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engines import PAGE_SEPARATOR
from ilios.formats.chunking import Chunker
from ilios.formats.declaration import Page
from ilios.formats.sizes import estimate_tokens
from schemas.replies import DocumentChunk
from tests.ilios.formats.test_html import BOMBS, LINE


def chunks(size: int, *pages: str) -> list[DocumentChunk]:
    chunker = Chunker(size)
    made = [chunk for n, text in enumerate(pages, 1) for chunk in chunker.page(Page(n, text))]
    return [*made, *chunker.end()]


def texts(size: int, *pages: str) -> list[str]:
    return [chunk.text for chunk in chunks(size, *pages)]


WORDS = st.text(alphabet="abc.é世 ", max_size=60)
PAGES = st.lists(
    st.lists(st.one_of(st.sampled_from(LINE.splitlines()), WORDS), max_size=30).map("\n".join),
    max_size=4,
)


@settings(max_examples=400, deadline=None)
@given(PAGES, st.integers(8, 64))
def test_the_chunks_are_the_whole_document(pages: list[str], size: int) -> None:
    document = PAGE_SEPARATOR.join(pages)
    made = chunks(size, *pages)
    if not made:
        assert document.replace("---", "").strip() == ""
        return
    assert "".join(document[one.start : one.end] for one in made) == document
    assert [one.index for one in made] == list(range(len(made)))
    for one in made:
        assert one.tokens == estimate_tokens(one.text)
        assert one.tokens <= size or len(one.text.split()) == 1
        assert one.pages[0] == one.page <= one.pages[1] <= len(pages)
        own = document[one.start : one.end].replace(PAGE_SEPARATOR, " ")
        # What is added is the header of a table, or the signs of a code block.
        assert "".join(own.split()) in "".join(one.text.split())


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abc. \n", max_size=400), st.integers(8, 20))
def test_no_word_is_divided(text: str, size: int) -> None:
    words = [word for chunk in texts(size, text) for word in chunk.split()]
    assert words == text.split()


def test_a_chunk_has_the_headings_above_it() -> None:
    made = chunks(
        512, "# *One*\n\n## Two [x](y)\n\nbody\n\n## Three\n\nmore", "on the next page\n\n# Four\n"
    )
    assert [(one.headings, one.text) for one in made] == [
        (("One", "Two x"), "# *One*\n\n## Two [x](y)\n\nbody"),
        (("One", "Three"), "## Three\n\nmore\n\non the next page"),
        (("Four",), "# Four"),
    ]
    assert [one.pages for one in made] == [(1, 1), (1, 2), (2, 2)]


def test_each_chunk_of_a_table_has_its_header() -> None:
    head = "| name | value |\n|---|---|\n"
    rows = [f"| name {n} | value {n} |" for n in range(20)]
    made = texts(32, head + "\n".join(rows) + "\n\nafter")
    assert len(made) > 4
    assert all(one.startswith(head) for one in made)
    found = [line for one in made for line in one.splitlines() if line in rows]
    assert found == rows


def test_a_header_that_leaves_no_room_is_not_repeated() -> None:
    head = f"| {'name ' * 20} |\n|---|\n"
    made = texts(32, head + "".join(f"| {n} |\n" for n in range(100)))
    assert sum("name" in one for one in made) == 1


def test_code_blocks_are_closed_in_each_chunk() -> None:
    made = texts(32, "````py\n" + "".join(f"line({n})\n" for n in range(40)) + "````\n")
    assert len(made) > 2
    for one in made:
        lines = one.splitlines()
        assert (lines[0], lines[-1]) == ("````py", "````")
    code = [line for one in made for line in one.splitlines() if line.startswith("line")]
    assert code == [f"line({n})" for n in range(40)]


def test_sentences_links_and_equations_are_not_divided() -> None:
    sentence = "It has [a link of words](https://a.example/x) and $a + b + c$ and `co de`. "
    made = texts(32, sentence * 10)
    assert "".join(f"{one} " for one in made) == sentence * 10
    assert all(one.endswith(".") for one in made)


def test_scripts_without_blanks_are_divided_between_signs() -> None:
    text = "今日は良い天気です。" * 20
    made = texts(32, text)
    assert "".join(made) == text
    assert max(map(estimate_tokens, made)) <= 32
    assert all(one.endswith("。") for one in made)


def test_a_word_longer_than_the_size_is_a_chunk_of_its_own() -> None:
    assert texts(8, f"a {'x' * 100} b") == ["a", "x" * 100, "b"]


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_page_costs_no_more_than_its_length(name: str) -> None:
    markdown = BOMBS[name]
    if _seconds(markdown) >= 1.0:
        quarter = _fastest(markdown[: len(markdown) // 4])
        assert _fastest(markdown) < max(1.0, 10 * quarter)  # 16 would be quadratic


def _fastest(markdown: str) -> float:
    """Return the CPU seconds of the fastest of three runs, without what else the process does."""
    return min(_seconds(markdown) for _ in range(3))


def _seconds(markdown: str) -> float:
    started = time.process_time()
    size = sum(len(one.text) + sum(map(len, one.headings)) for one in chunks(32, markdown))
    assert size < 8 * len(markdown)
    return time.process_time() - started
