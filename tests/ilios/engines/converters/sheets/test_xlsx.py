"""Excel workbooks: what stands on their sheets, and what the warnings name as left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.engines import Unconvertible
from ilios.engines.converters.sheets import cells, layout, xlsx
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import ConvertedPage, Pages, Reading
from schemas.options import PageRange
from tests import documents, spreadsheets
from tests.documents import OFFICE_RELATIONSHIPS
from tests.spreadsheets import Worksheet, text_row


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


def converted(data: bytes, path: Path, reading: Reading | None = None) -> Pages:
    file = path / "book.xlsx"
    file.write_bytes(data)
    return xlsx.convert(file, EngineLimits(), ignore, reading or Reading())


def page_of(
    path: Path,
    rows: str,
    *,
    reading: Reading | None = None,
    before: str = "",
    behind: str = "",
    relations: Mapping[str, tuple[str, str]] | None = None,
    **more: Any,
) -> ConvertedPage:
    sheet = Worksheet(rows, before, behind, relations or {})
    (page,) = converted(spreadsheets.xlsx({"One": sheet}, **more), path, reading).pages
    return page


def text_of(path: Path, rows: str, **more: Any) -> str:
    """Return the Markdown below the heading of a sheet."""
    text = page_of(path, rows, **more).result.markdown
    assert text.startswith("# One\n\n")
    return text.removeprefix("# One\n\n")


def warned(page: ConvertedPage) -> dict[str, str]:
    return {one.code: one.message for one in page.result.warnings}


def cell(reference: str, content: str, attributes: str = "") -> str:
    return f'<c r="{reference}" {attributes}>{content}</c>'


def row(number: int, *content: str, attributes: str = "") -> str:
    return f'<row r="{number}" {attributes}>{"".join(content)}</row>'


def test_cells_are_shown_as_in_excel(tmp_path: Path) -> None:
    rows = row(1, cell("A1", "<v>44269</v>", 's="1"'), cell("B1", "<v>0.255</v>", 's="2"'))
    rows += row(2, cell("A2", "<v>1</v>", 't="b"'), cell("B2", "<v>#N/A</v>", 't="e"'))
    rows += row(3, cell("A3", "<v>-1234.5</v>", 's="3"'), cell("B3", "<v>1E-3</v>"))
    rows += row(4, cell("A4", "<v>2021-03-14T06:00:00</v>", 't="d" s="1"'), cell("B4", "<v>x</v>"))
    codes = ["d.m.yyyy", "0.0%", "#,##0.00 [$€-407];[Red]\\-#,##0.00 [$€-407]"]
    assert text_of(tmp_path, rows, codes=codes).splitlines()[2:] == [
        "| TRUE | #N/A |",
        "| -1,234.50 € | 0.001 |",
        "| 14.3.2021 | x |",
    ]
    assert "| 14.3.2021 | 25.5% |" in text_of(tmp_path, rows, codes=codes)
    in_1904 = text_of(tmp_path, rows, codes=codes, properties='<workbookPr date1904="1"/>')
    assert "| 15.3.2025 | 25.5% |" in in_1904
    assert "| 14.3.2021 | x |" in in_1904


def test_texts_are_shared_inline_or_results_and_keep_their_marks(tmp_path: Path) -> None:
    strings = "<si><t>a|b *c*</t></si><si><r><t>10</t></r><r><rPr><vertAlign val='superscript'/>"
    strings += "</rPr><t>6</t></r><r><rPr><b/></rPr><t xml:space='preserve'> big</t></r>"
    strings += "<rPh sb='0' eb='1'><t>phonetic</t></rPh></si>"
    rows = row(1, cell("A1", "<v>0</v>", 't="s"'), cell("B1", "<v>1</v>", 't="s"'))
    rows += row(2, cell("A2", "<f>A1</f><v>two\nlines</v>", 't="str"'))
    rows = rows.replace("</row>", cell("C2", "<v>7</v>", 't="s"') + "</row>")
    assert text_of(tmp_path, rows, strings=strings).splitlines()[::2] == [
        "| a\\|b \\*c\\* | 10<sup>6</sup> **big** |",
        "| two<br>lines |  |",
    ]


@pytest.mark.parametrize(
    ("formula", "shown"),
    [("<f>SUM(B1:B9)</f>", "=SUM(B1:B9)"), ("<f>B1*2</f><v/>", "=B1\\*2")],
)
def test_a_formula_without_a_result_is_given_with_a_warning(
    formula: str, shown: str, tmp_path: Path
) -> None:
    page = page_of(tmp_path, row(1, cell("A1", formula), cell("B1", "<v>1</v>")))
    assert f"| {shown} | 1 |" in page.result.markdown
    assert "A1" in warned(page)["formulas_without_result"]


def test_a_formula_with_an_empty_text_as_result_is_no_lack(tmp_path: Path) -> None:
    page = page_of(tmp_path, row(1, cell("A1", '<f>""</f><v></v>', 't="str"')))
    assert page.result.markdown == "# One"
    assert not page.result.warnings


@pytest.mark.parametrize(
    ("merged_cells", "first", "second"),
    [
        (None, "| 2024 | 2024 | c |", "| 1 | 2 | 2024 |"),
        ("once", "| 2024 |  | c |", "| 1 | 2 |  |"),
        ("repeat", "| 2024 | 2024 | c |", "| 1 | 2 | 2024 |"),
    ],
)
def test_merged_cells_follow_the_option(
    merged_cells: Any, first: str, second: str, tmp_path: Path
) -> None:
    rows = text_row(1, "2024", "", "c") + text_row(2, "1", "2")
    behind = '<mergeCells><mergeCell ref="A1:B1"/><mergeCell ref="C1:C2"/></mergeCells>'
    lines = text_of(tmp_path, rows, behind=behind, reading=Reading(merged_cells=merged_cells))
    assert lines.splitlines()[::2] == [first, second.replace("2024", "c")]


def test_a_long_text_of_merged_cells_is_there_once(tmp_path: Path) -> None:
    behind = '<mergeCells><mergeCell ref="A1:C1"/></mergeCells>'
    text = text_of(tmp_path, text_row(1, "long " * 20) + text_row(2, "a", "b", "c"), behind=behind)
    assert text.count("long") == 20


def test_the_text_of_merged_cells_is_seen_where_its_first_column_is_hidden(tmp_path: Path) -> None:
    rows = text_row(1, "Title") + text_row(2, "secret", "b", "c")
    page = page_of(
        tmp_path,
        rows,
        before='<cols><col min="1" max="1" hidden="1"/></cols>',
        behind='<mergeCells><mergeCell ref="A1:C1"/></mergeCells>',
    )
    assert "| Title |  |\n| --- | --- |\n| b | c |" in page.result.markdown
    assert "1 hidden column" in warned(page)["content_left_out"]


def test_hidden_sheets_are_marked_and_hidden_rows_and_columns_left_out(tmp_path: Path) -> None:
    rows = text_row(1, "a", "b") + text_row(2, "c", "d") + text_row(3, "e", "f")
    rows = rows.replace('<row r="2"', '<row r="2" hidden="1"')
    columns = (
        '<cols><col min="2" max="2" hidden="true"/><col min="9" max="16384" hidden="1"/></cols>'
    )
    sheets = {
        "A": Worksheet(rows, columns),
        "B": Worksheet(text_row(1, "b"), state="hidden"),
        "C": Worksheet(text_row(1, "c"), state="veryHidden"),
    }
    first, second, third = converted(spreadsheets.xlsx(sheets), tmp_path).pages
    assert first.result.markdown == "# A\n\n| a |\n| --- |\n| e |"
    assert "1 hidden row, 1 hidden column" in warned(first)["content_left_out"]
    assert second.result.markdown == "# B (hidden)\n\nb"
    assert third.result.markdown == "# C (very hidden)\n\nc"
    assert [one.result.headings[0].text for one in (second, third)] == [
        "B (hidden)",
        "C (very hidden)",
    ]


def test_empty_rows_divide_tables_and_empty_sides_are_left_out(tmp_path: Path) -> None:
    rows = (
        text_row(3, "", "", "1. A title") + text_row(5, "", "", "h", "i") + text_row(6, "", "", "j")
    )
    rows += text_row(9, "x", "", "", "", "y") + text_row(10, "z")
    assert text_of(tmp_path, rows) == (
        "1\\. A title\n\n| h | i |\n| --- | --- |\n| j |  |\n\n"
        "| x |  | y |\n| --- | --- | --- |\n| z |  |  |"
    )


def test_titles_above_a_table_are_paragraphs(tmp_path: Path) -> None:
    rows = text_row(1, "Sales") + text_row(2, "in 2024") + text_row(3, "a", "b", "c")
    rows += text_row(4, "1", "2", "3")
    behind = '<mergeCells><mergeCell ref="A1:C1"/><mergeCell ref="A2:C2"/></mergeCells>'
    table = "| a | b | c |\n| --- | --- | --- |\n| 1 | 2 | 3 |"
    for merged in ("", behind):
        assert text_of(tmp_path, rows, behind=merged) == f"Sales\n\nin 2024\n\n{table}"
    wider = rows + text_row(6, "", "", "", "", "beside")
    assert text_of(tmp_path, wider, behind=behind).startswith(f"Sales\n\nin 2024\n\n{table}")


def test_links_are_kept_and_scripts_are_not(tmp_path: Path) -> None:
    rows = text_row(1, "site", "script", "inside")
    rows += row(2, cell("A2", '<f>HYPERLINK("https://c.example/x y","go")</f><v>go</v>', 't="str"'))
    behind = '<hyperlinks><hyperlink ref="A1" r:id="a"/><hyperlink ref="B1" r:id="b"/>'
    behind += '<hyperlink ref="C1" location="Two!A1"/></hyperlinks>'
    relations = {"a": ("hyperlink", "https://a.example/(1)"), "b": ("hyperlink", "javascript:x()")}
    sheet = Worksheet(rows, "", behind, relations)
    (page,) = converted(spreadsheets.xlsx({"One": sheet}), tmp_path).pages
    text = page.result.markdown
    assert [one.code for one in page.result.warnings] == ["links_left_out"]
    assert "| [site](https://a.example/%281%29) | script | inside |" in text
    assert "| [go](https://c.example/x%20y) |  |  |" in text


COMMENTS = (
    f'<comments xmlns="{spreadsheets.MAIN}"><authors><author>Ann</author></authors><commentList>'
    '<comment ref="B2" authorId="0"><text><r><t>Really? </t></r><r><t>*No*</t></r></text></comment>'
    '<comment ref="A1" authorId="9"><text><t>[Threaded comment] see elsewhere</t></text></comment>'
    "</commentList></comments>"
)
THREADS = (
    '<ThreadedComments xmlns="x"><threadedComment ref="A1" personId="p">'
    "<text>A question</text></threadedComment><threadedComment ref='A1' personId='q'>"
    "<text>An answer</text></threadedComment></ThreadedComments>"
)


@pytest.mark.parametrize("wanted", [True, False])
def test_comments_are_a_list_where_they_are_wanted(tmp_path: Path, *, wanted: bool) -> None:
    parts = {
        "xl/comments1.xml": COMMENTS,
        "xl/threads.xml": THREADS,
        "xl/people.xml": '<personList xmlns="x"><person id="p" displayName="Bo"/></personList>',
    }
    text = text_of(
        tmp_path,
        text_row(1, "a"),
        relations={
            "c": ("comments", "../comments1.xml"),
            "t": ("threadedComment", "../threads.xml"),
        },
        related={"p": ("person", "people.xml")},
        parts=parts,
        reading=Reading(comments=wanted),
    )
    listed = (
        "\n\n**Comments**\n\n- A1 (Bo): A question\n- A1: An answer\n- B2 (Ann): Really? \\*No\\*"
    )
    assert text == ("a" + listed if wanted else "a")


@pytest.mark.parametrize(
    "more",
    [
        {"namespace": spreadsheets.STRICT},
        {"main": "xl/workbook2.xml"},
        {"main": "office/book.xml"},
    ],
)
def test_any_legal_layout_of_the_package_is_read(more: dict[str, str], tmp_path: Path) -> None:
    rows = row(1, cell("A1", "<v>0</v>", 't="s"'), cell("B1", "<v>0.5</v>", 's="1"'))
    text = text_of(tmp_path, rows, strings="<si><t>t</t></si>", codes=["0%"], **more)
    assert text == "| t | 50% |\n| --- | --- |"


def test_strict_relationships_are_read(tmp_path: Path) -> None:
    strict = "http://purl.oclc.org/ooxml/officeDocument/relationships"
    sheet = Worksheet(
        text_row(1, "a"), "", '<hyperlinks><hyperlink ref="A1" r:id="l"/></hyperlinks>'
    )
    sheet.relations = {"l": ("hyperlink", "https://a.example")}
    parts = {
        name: part.replace(OFFICE_RELATIONSHIPS, strict) if isinstance(part, str) else part
        for name, part in spreadsheets.xlsx_parts(
            {"One": sheet}, namespace=spreadsheets.STRICT
        ).items()
    }
    (page,) = converted(documents.zip_of(parts), tmp_path).pages
    assert page.result.markdown == "# One\n\n[a](https://a.example)"


def test_rows_and_cells_without_references_and_out_of_order_have_their_places(
    tmp_path: Path,
) -> None:
    rows = "<row><c><v>1</v></c><c><v>2</v></c></row>"
    rows += row(3, cell("C3", "<v>9</v>"), cell("A3", "<v>7</v>"), "<c><v>8</v></c>")
    rows += row(2, cell("A2", "<v>4</v>"))
    lines = text_of(tmp_path, rows).splitlines()
    assert lines[:1] + lines[2:] == ["| 1 | 2 |  |", "| 4 |  |  |", "| 7 | 8 | 9 |"]


def test_selected_sheets_are_converted(tmp_path: Path) -> None:
    sheets = {name: Worksheet(text_row(1, name)) for name in ("A", "B", "C")}
    data = spreadsheets.xlsx(sheets)
    pages = converted(data, tmp_path, Reading(ranges=(PageRange(2, 2), PageRange(3, None)))).pages
    assert [(one.result.index, one.result.markdown) for one in pages] == [
        (1, "# B\n\nB"),
        (2, "# C\n\nC"),
    ]
    assert xlsx.count_pages(tmp_path / "book.xlsx") == 3
    with pytest.raises(Unconvertible, match="3 pages"):
        converted(data, tmp_path, Reading(ranges=(PageRange(4, None),)))


def test_a_truncated_sheet_gives_its_first_rows_and_a_warning(tmp_path: Path) -> None:
    sheets = {"A": Worksheet(text_row(1, "a")), "B": Worksheet(text_row(1, "b"))}
    parts = spreadsheets.xlsx_parts(sheets)
    part = parts["xl/worksheets/sheet1.xml"]
    assert isinstance(part, str)
    parts["xl/worksheets/sheet1.xml"] = part.partition("</sheetData>")[0]
    del parts["xl/styles.xml"]
    first, second = converted(documents.zip_of(parts), tmp_path).pages
    assert first.result.markdown == "# A\n\na"
    assert "after row 1" in warned(first)["part_unreadable"]
    assert second.result.markdown == "# B\n\nb"


def test_what_is_beyond_the_bounds_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAX_TABLE_COLUMNS", 3)
    wide = page_of(tmp_path, text_row(1, *"abcde") + text_row(2, "f"))
    assert "| a | b | c |\n| --- | --- | --- |\n| f |  |  |" in wide.result.markdown
    assert "2 columns from D on" in warned(wide)["content_left_out"]
    file = tmp_path / "book.xlsx"
    rows = "".join(text_row(number, "some words") for number in range(1, 101))
    file.write_bytes(spreadsheets.xlsx({"One": Worksheet(rows)}))
    (page,) = xlsx.convert(file, EngineLimits(max_output_bytes=1000), ignore).pages
    shown = page.result.markdown.count("some words")
    assert 20 < shown < 40
    assert f"{100 - shown} rows from {shown + 1} on" in warned(page)["content_left_out"]
    monkeypatch.setattr(cells.Room.__init__, "__defaults__", (10,))
    (page,) = xlsx.convert(file, EngineLimits(), ignore).pages
    assert page.result.markdown.count("some words") == 10
    assert "90 cells" in warned(page)["content_left_out"]


def test_a_large_sheet_leaves_room_for_those_behind_it(tmp_path: Path) -> None:
    rows = "".join(text_row(number, "some words") for number in range(1, 101))
    file = tmp_path / "book.xlsx"
    sheets = {"One": Worksheet(rows), "Two": Worksheet(text_row(1, "the last"))}
    file.write_bytes(spreadsheets.xlsx(sheets))
    _, last = xlsx.convert(file, EngineLimits(max_output_bytes=1000), ignore).pages
    assert last.result.markdown == "# Two\n\nthe last"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PK\x03\x04 no archive", "corrupt"),
        (documents.zip_of({"[Content_Types].xml": spreadsheets.TYPES}), "corrupt"),
        (spreadsheets.xlsx({"A": Worksheet()}, parts={"xl/workbook.xml": "<workbook"}), "corrupt"),
        (spreadsheets.xlsx({}), "corrupt"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "password_protected"),
    ],
)
def test_what_is_no_workbook_is_refused(data: bytes, code: str, tmp_path: Path) -> None:
    with pytest.raises(Unconvertible) as refused:
        converted(data, tmp_path)
    assert refused.value.code == code
