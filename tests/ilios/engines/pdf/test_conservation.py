"""Words of a page reach its Markdown, or the page falls back."""

import pytest

from actors.engines import Unconvertible
from ilios.engines.layout.document import LaidOutPage
from ilios.engines.layout.items import PageItems
from ilios.engines.pdf import convert, finishing
from ilios.engines.pdf.conservation import conserved
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines

SOURCE = "The oil of the pier stands in the shed; who finds the can empty fills it at the store."


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("an e\ufb03cient o\ufb00er", "an efficient offer"),
        ("the light-\r\nhouse burns", "the lighthouse burns"),
        ("A  B\tC", "| A | B | C |"),
        ("see ferry.example now", "see [ferry.example](https://ferry.example/a) now"),
        ("H e a d i n g one", "# Heading one"),
        ("\u671d\u306e\u6e2f \u306b\u8239\u304c", "\u671d\u306e\u6e2f\u306b\u8239\u304c"),
    ],
)
def test_the_same_words_written_otherwise_are_conserved(source: str, made: str) -> None:
    assert conserved(source, made).share == 1


def test_lost_and_once_repeated_words_are_missing() -> None:
    found = conserved("one two two three", "one two")
    assert found.share == 0.5
    assert set(found.missing) == {"two", "three"}


def test_a_page_whose_layout_loses_words_becomes_plain_text(
    convert_pdf: ConvertPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(pages: list[PageItems], **_: bool) -> list[LaidOutPage]:
        return [LaidOutPage(index=page.index, markdown="The oil of the pier") for page in pages]

    monkeypatch.setattr(convert, "lay_out", lose)
    monkeypatch.setattr(finishing, "lay_out_again", lambda page, before: lose([page])[0])
    builder = Builder()
    builder.page(lines(SOURCE[:43], SOURCE[43:]))
    (page,) = convert_pdf(builder.build())
    assert page.method == "plain_text"
    assert " ".join(page.markdown.split()) == SOURCE
    assert page.conservation == 1
    assert [warning.code for warning in page.warnings] == ["page_fell_back"]


def test_the_plain_text_of_a_turned_page_has_its_lines(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    spoken = (
        "The oil of the pier stands in the shed",
        "who finds the can fills it",
        "at the store",
    )
    drawn = (line(text, 4 + 20 * at, 60, 12, "0 1 -1 0") for at, text in enumerate(spoken))
    builder.page("".join(drawn))  # the edge of the sheet cuts the first line
    (page,) = convert_pdf(builder.build())
    assert page.method == "plain_text"
    assert tuple(page.markdown.split("\n")) == spoken


def test_a_sound_page_has_its_measures(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(lines(SOURCE[:43], SOURCE[43:]), size=(500, 800))
    (page,) = convert_pdf(builder.build())
    assert (page.method, page.conservation, page.warnings) == ("text_layer", 1, ())
    assert page.dimensions is not None
    assert (page.dimensions.dpi, page.dimensions.width, page.dimensions.height) == (72, 500, 800)


def test_a_damaged_file_without_any_object_is_refused(convert_pdf: ConvertPdf) -> None:
    with pytest.raises(Unconvertible) as refused:
        convert_pdf(b"%PDF-1.7\nnothing of use follows")
    assert refused.value.code == "corrupt"
