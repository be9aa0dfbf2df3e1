"""Tables: indents of rows, spans, tables within tables, content controls around rows."""

from pathlib import Path

import pytest

from ilios.engines.pages import Reading
from schemas.options import MergedCells
from tests.word_documents import converted, docx, level, markdown_of, numbering, p, table, tc, tr


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table by row."""
    lines = [line for line in text.split("\n") if "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_rows_that_begin_later_keep_their_columns(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        table(
            tr("Bird", "Nest", "Eggs"),
            tr("reed", "3", before=1),
            tr(tc("Coot", span=2), "5"),
            tr(before=3),
            tr("Rail", more='<w:gridAfter w:val="2"/>'),
        ),
    )
    assert rows_of(text) == [
        ["Bird", "Nest", "Eggs"],
        ["", "reed", "3"],
        ["Coot", "Coot", "5"],
        ["", "", ""],
        ["Rail", "", ""],
    ]


@pytest.mark.parametrize(
    ("merged", "second", "third"),
    [(None, "Wading", "Wading"), ("once", "", ""), ("repeat", "Wading", "Wading")],
)
def test_a_merged_cell_is_repeated_or_not(
    tmp_path: Path, merged: MergedCells | None, second: str, third: str
) -> None:
    made = docx(
        table(
            tr(tc("Wading", merge="restart"), "heron"),
            tr(tc(merge="continue"), "stork"),
            tr(tc(merge=""), "crane"),
        ).replace(' w:val=""', "")
    )
    page = converted(tmp_path, made, Reading(merged_cells=merged)).result
    assert rows_of(page.markdown) == [["Wading", "heron"], [second, "stork"], [third, "crane"]]
    assert [one.content for one in page.tables] == [page.markdown]


def test_a_table_in_a_cell_is_text_whose_rows_are_apart(tmp_path: Path) -> None:
    inner = table(tr("by day", "4"), tr("by night", "7"))
    text = markdown_of(tmp_path, table(tr("Boat", "Price"), tr("Gull", tc(inner, p()))))
    assert rows_of(text) == [["Boat", "Price"], ["Gull", "by day, 4<br>by night, 7"]]


def test_a_frame_of_one_cell_is_not_a_table(tmp_path: Path) -> None:
    frame = table(tr(tc(p("Note", style="heading2"), p("Mind the step."), table(tr("a", "b")))))
    assert markdown_of(tmp_path, frame) == "## Note\n\nMind the step.\n\n| a | b |\n| --- | --- |"


def test_rows_and_cells_in_content_controls_are_there(tmp_path: Path) -> None:
    control = "<w:sdt><w:sdtPr/><w:sdtContent>{}</w:sdtContent></w:sdt>"
    text = markdown_of(
        tmp_path,
        table(
            tr("a", "b"),
            control.format(tr("c", "d")),
            f"<w:tr>{control.format(tc('e'))}{tc('f')}</w:tr>",
        ),
    )
    assert rows_of(text) == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_paragraphs_lists_and_breaks_in_a_cell_stay_apart(tmp_path: Path) -> None:
    cell = tc(p("Bring:"), p("rope", number=(1, 0)), p("oars", number=(1, 0)), p("now\nor later"))
    text = markdown_of(tmp_path, table(tr("What", cell)), numbers=numbering({1: level(0)}))
    assert rows_of(text) == [["What", "Bring:<br>1. rope<br>2. oars<br>now<br>or later"]]


def test_bars_in_cells_are_escaped(tmp_path: Path) -> None:
    assert markdown_of(tmp_path, table(tr("a|b", "c"))).split("\n")[0] == "| a\\|b | c |"


def test_old_horizontal_merges_are_spans(tmp_path: Path) -> None:
    first = tc("Name", more='<w:hMerge w:val="restart"/>')
    second = tc(more='<w:hMerge w:val="continue"/>')
    text = markdown_of(tmp_path, table(tr(first, second, "Age"), tr("Ada", "Byron", "36")))
    assert rows_of(text) == [["Name", "Name", "Age"], ["Ada", "Byron", "36"]]


def test_a_table_too_wide_is_cut_with_a_warning(tmp_path: Path) -> None:
    wide = tr(*(tc("x", span=1000) for _ in range(50)))
    page = converted(tmp_path, docx(table(*[wide] * 100), p("after"))).result
    assert [warning.code for warning in page.warnings] == ["content_left_out"]
    assert page.markdown.endswith("after")
